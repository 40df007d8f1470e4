//! Packets encoded once and shared between sockets.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::RESERVED_EVENTS;
use super::encode::event_text;
use crate::EncodeError;

/// An event ready for the wire. Cloning shares the bytes, so that one packet for ten thousand sockets is encoded and
/// held once.
#[derive(Clone, Debug)]
pub struct Packet {
    pub(crate) text: Utf8Bytes,
    pub(crate) attachments: Option<Arc<[Bytes]>>,
}

impl Packet {
    /// Encodes an event. `args` serialises to a JSON array: a tuple, an array or a slice; `()` is no arguments.
    pub fn event(name: &str, args: &impl Serialize) -> Result<Self, EncodeError> {
        Ok(Self { text: event_text(name, args, 0, None)?.into(), attachments: None })
    }

    /// Takes a JSON array that is already encoded, `["name",…]`. It is checked to be one.
    pub fn from_text(json: impl AsRef<str>) -> Result<Self, EncodeError> {
        let json = json.as_ref().trim();
        let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| EncodeError::NotAnArray)?;
        let name: String =
            items.first().and_then(|n| serde_json::from_str(n.get()).ok()).ok_or(EncodeError::Name)?;
        if RESERVED_EVENTS.contains(&name.as_str()) {
            return Err(EncodeError::Name);
        }
        Ok(Self { text: format!("42{json}").into(), attachments: None })
    }

    /// Encodes an event with binary parts. Where one belongs among the arguments stands
    /// `{"_placeholder":true,"num":n}`, as [`Packet::placeholder`] makes it.
    pub fn binary(name: &str, args: &impl Serialize, attachments: Vec<Bytes>) -> Result<Self, EncodeError> {
        let text = event_text(name, args, attachments.len(), None)?;
        Ok(Self::with_attachments(text, attachments))
    }

    /// Stands for the attachment with this index.
    pub fn placeholder(num: usize) -> impl Serialize + Clone {
        #[derive(Clone, Serialize)]
        struct Placeholder {
            _placeholder: bool,
            num: usize,
        }
        Placeholder { _placeholder: true, num }
    }

    /// Bytes of the packet on the wire, framing aside.
    // A packet has at least its type, so there is no `is_empty` to go with it.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        let binary: usize = self.attachments.iter().flat_map(|a| a.iter()).map(Bytes::len).sum();
        self.text.len() + binary
    }

    /// The event as its JSON array, `["name",…]`, for those who send it another way too.
    pub fn json(&self) -> &str {
        self.text.as_str().trim_start_matches(|c| c != '[')
    }

    pub(crate) fn with_attachments(text: String, attachments: Vec<Bytes>) -> Self {
        let attachments = if attachments.is_empty() { None } else { Some(attachments.into()) };
        Self { text: text.into(), attachments }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_once_and_shared() {
        let packet = Packet::event("hey", &("x", 1)).unwrap();
        assert_eq!(packet.text.as_str(), r#"42["hey","x",1]"#);
        assert_eq!(packet.clone().text.as_str().as_ptr(), packet.text.as_str().as_ptr());
        assert_eq!(packet.len(), 15);
        assert_eq!(packet.json(), r#"["hey","x",1]"#);
    }

    #[test]
    fn text_is_checked() {
        assert_eq!(Packet::from_text(r#" ["a",1] "#).unwrap().text.as_str(), r#"42["a",1]"#);
        assert_eq!(Packet::from_text("[1]").unwrap_err(), EncodeError::Name);
        assert_eq!(Packet::from_text("[]").unwrap_err(), EncodeError::Name);
        assert_eq!(Packet::from_text(r#"["connect"]"#).unwrap_err(), EncodeError::Name);
        assert_eq!(Packet::from_text(r#"["a""#).unwrap_err(), EncodeError::NotAnArray);
    }

    #[test]
    fn binary_counts_its_parts() {
        let part = Bytes::from_static(b"123");
        let packet = Packet::binary("a", &(Packet::placeholder(0),), vec![part]).unwrap();
        assert_eq!(packet.text.as_str(), r#"451-["a",{"_placeholder":true,"num":0}]"#);
        assert_eq!(packet.len(), packet.text.len() + 3);
        assert_eq!(packet.json(), r#"["a",{"_placeholder":true,"num":0}]"#);
    }
}
