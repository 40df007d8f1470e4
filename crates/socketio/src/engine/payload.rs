//! Several Engine.IO packets in one polling body.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{EnginePacket, ParseError};

/// Stands between two packets; JSON text never contains it unescaped.
pub(crate) const SEPARATOR: char = '\x1e';

/// Reads a polling body packet by packet, so that what follows a full queue need not be held decoded.
#[derive(Debug)]
pub struct Payload {
    rest: Option<Bytes>,
}

impl Payload {
    /// A body as it was received.
    pub fn new(body: Bytes) -> Self {
        Self { rest: Some(body) }
    }
}

impl Iterator for Payload {
    type Item = Result<EnginePacket, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.rest.take()?;
        let part = match rest.iter().position(|&b| b == SEPARATOR as u8) {
            Some(end) => {
                let part = rest.split_to(end);
                self.rest = Some(rest.slice(1..));
                part
            }
            None => rest,
        };
        Some(decode(part))
    }
}

fn decode(part: Bytes) -> Result<EnginePacket, ParseError> {
    if let Some(base64) = part.strip_prefix(b"b") {
        let bytes = data_encoding::BASE64.decode(base64).map_err(|_| ParseError::Encoding)?;
        return Ok(EnginePacket::Binary(bytes.into()));
    }
    EnginePacket::decode(Utf8Bytes::try_from(part).map_err(|_| ParseError::Encoding)?)
}

/// Reads a whole polling body; the first error ends it.
pub fn decode_payload(body: &[u8]) -> Result<Vec<EnginePacket>, ParseError> {
    Payload::new(Bytes::copy_from_slice(body)).collect()
}

/// Writes a polling body.
pub fn encode_payload(packets: &[EnginePacket]) -> String {
    let parts: Vec<String> = packets.iter().map(EnginePacket::encode).collect();
    parts.join("\x1e")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_and_binary() {
        let packets = decode_payload(b"4hello\x1ebAQIDBA==\x1e3").unwrap();
        assert_eq!(
            packets,
            [
                EnginePacket::Message("hello".into()),
                EnginePacket::Binary(Bytes::from_static(&[1, 2, 3, 4])),
                EnginePacket::Pong("".into()),
            ]
        );
        assert_eq!(encode_payload(&packets), "4hello\x1ebAQIDBA==\x1e3");
    }

    #[test]
    fn malformed_bodies() {
        assert_eq!(decode_payload(b""), Err(ParseError::Empty));
        assert_eq!(decode_payload(b"4a\x1e"), Err(ParseError::Empty));
        assert_eq!(decode_payload(b"b!"), Err(ParseError::Encoding));
        assert_eq!(decode_payload(b"4\xff"), Err(ParseError::Encoding));
    }

    fn packet() -> impl Strategy<Value = EnginePacket> {
        prop_oneof![
            Just(EnginePacket::Close),
            Just(EnginePacket::Upgrade),
            Just(EnginePacket::Noop),
            "[^\x1e]{0,20}".prop_map(|s| EnginePacket::Ping(s.into())),
            "[^\x1e]{0,20}".prop_map(|s| EnginePacket::Pong(s.into())),
            "[^\x1e]{0,40}".prop_map(|s| EnginePacket::Message(s.into())),
            proptest::collection::vec(any::<u8>(), 0..60).prop_map(|v| EnginePacket::Binary(v.into())),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(packets in proptest::collection::vec(packet(), 1..8)) {
            prop_assert_eq!(decode_payload(encode_payload(&packets).as_bytes()).unwrap(), packets);
        }

        #[test]
        fn any_change_of_a_body_is_read_or_refused(
            packets in proptest::collection::vec(packet(), 1..8),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let mut body = encode_payload(&packets).into_bytes();
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            if let Ok(packets) = decode_payload(&body) {
                prop_assert_eq!(decode_payload(encode_payload(&packets).as_bytes()).unwrap(), packets);
            }
        }
    }
}
