//! One Engine.IO packet, as text.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::ParseError;

/// What a client may send, one websocket message or one part of a polling body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnginePacket {
    /// `1`: the client closes its transport.
    Close,
    /// `2`: only with the payload `probe`, at the start of an upgrade.
    Ping(Utf8Bytes),
    /// `3`: the answer to a ping.
    Pong(Utf8Bytes),
    /// `4`: a Socket.IO packet.
    Message(Utf8Bytes),
    /// `5`: the upgrade is complete.
    Upgrade,
    /// `6`: nothing.
    Noop,
    /// An attachment.
    Binary(Bytes),
}

impl EnginePacket {
    /// Reads a text packet. `0` (open) is for servers to send and is an error here.
    pub fn decode(text: Utf8Bytes) -> Result<Self, ParseError> {
        let kind = *text.as_bytes().first().ok_or(ParseError::Empty)?;
        let bare = text.len() == 1;
        match kind {
            b'1' if bare => Ok(Self::Close),
            b'2' => Ok(Self::Ping(rest(&text)?)),
            b'3' => Ok(Self::Pong(rest(&text)?)),
            b'4' => Ok(Self::Message(rest(&text)?)),
            b'5' if bare => Ok(Self::Upgrade),
            b'6' if bare => Ok(Self::Noop),
            _ => Err(ParseError::UnknownType),
        }
    }

    /// Writes the packet as it stands in a polling body; binary as base64 behind a `b`.
    pub fn encode(&self) -> String {
        match self {
            Self::Close => "1".to_owned(),
            Self::Ping(data) => format!("2{data}"),
            Self::Pong(data) => format!("3{data}"),
            Self::Message(data) => format!("4{data}"),
            Self::Upgrade => "5".to_owned(),
            Self::Noop => "6".to_owned(),
            Self::Binary(bytes) => format!("b{}", data_encoding::BASE64.encode(bytes)),
        }
    }
}

/// All but the type. The same allocation is shared; only its UTF-8 is looked at again.
fn rest(text: &Utf8Bytes) -> Result<Utf8Bytes, ParseError> {
    let bytes: Bytes = text.clone().into();
    Utf8Bytes::try_from(bytes.slice(1..)).map_err(|_| ParseError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_client() {
        let decode = |text: &str| EnginePacket::decode(Utf8Bytes::from(text.to_owned()));
        assert_eq!(decode("1"), Ok(EnginePacket::Close));
        assert_eq!(decode("2probe"), Ok(EnginePacket::Ping("probe".into())));
        assert_eq!(decode("3"), Ok(EnginePacket::Pong("".into())));
        assert_eq!(decode("4é"), Ok(EnginePacket::Message("é".into())));
        for (text, error) in [
            ("", ParseError::Empty),
            ("0{}", ParseError::UnknownType),
            ("7", ParseError::UnknownType),
            ("11", ParseError::UnknownType),
            ("é", ParseError::UnknownType),
            ("abc", ParseError::UnknownType),
        ] {
            assert_eq!(decode(text), Err(error), "{text}");
        }
    }
}
