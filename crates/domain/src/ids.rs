use crate::Invalid;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// A user as the application names them: 1..128 bytes, no control characters, none that turn the direction of the text, and
/// neither `.` nor `..`, which no URL can name. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// A device as it names itself, or as the server named it: 1..128 bytes, no control characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(Arc<str>);

const MAX_BYTES: usize = 128;

fn check(field: &str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::one(field, "must not be empty"));
    }
    if text.len() > MAX_BYTES {
        return Err(Invalid::one(field, format!("must be at most {MAX_BYTES} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::one(field, "must not contain control characters"));
    }
    Ok(())
}

/// Turns the direction of the text around it, so that an id looks like another one: embeddings, overrides and isolates.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl UserId {
    /// Takes a text that keeps the limits; the error names the field.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let user = Self::stored(text)?;
        if matches!(text, "." | "..") {
            return Err(Invalid::one("user_id", "must be neither . nor .., which no URL can name"));
        }
        if text.chars().any(turns_text) {
            return Err(Invalid::one("user_id", "must not contain bidirectional-override characters"));
        }
        Ok(user)
    }

    /// Takes a text that a store kept. What it was taken by was the rule of its day: a rule that came later must not make
    /// unreadable what is stored. So this asks only what every version has asked.
    pub fn stored(text: &str) -> Result<Self, Invalid> {
        check("user_id", text)?;
        Ok(Self(Arc::from(text)))
    }
}

impl DeviceId {
    /// Takes a text that keeps the limits; the error names the field.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        Self::stored(text)
    }

    /// Takes a text that a store kept.
    pub fn stored(text: &str) -> Result<Self, Invalid> {
        check("device_id", text)?;
        Ok(Self(Arc::from(text)))
    }
}

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // What is read this way was written by a store or a node, never by a stranger.
                Self::stored(&String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    };
}

text_id!(UserId);
text_id!(DeviceId);

/// A notification's id: a UUIDv7, so that ids made later sort later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct NotificationId(Uuid);

impl NotificationId {
    /// Wraps an id that was made elsewhere.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Reads the hyphenated form; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        // The parser also takes other forms of a UUID; one spelling keeps ids comparable as text.
        (text.len() == 36).then(|| Uuid::try_parse(text).ok().map(Self)).flatten()
    }

    /// The 16 bytes, as stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From the 16 bytes, as stored.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl<'de> Deserialize<'de> for NotificationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("must be a UUID"))
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_limits() {
        assert!(UserId::new("ana").is_ok());
        assert!(UserId::new(&"ä".repeat(64)).is_ok());
        for bad in ["", "a\nb", "\u{7f}", &"x".repeat(129)] {
            assert!(UserId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_user_can_be_named_by_a_url_and_looks_like_itself() {
        for bad in [".", "..", "a\u{202e}b", "\u{202d}", "a\u{2066}", "\u{202a}a\u{202c}"] {
            assert!(UserId::new(bad).is_err(), "{bad:?}");
            let stored = UserId::stored(bad).unwrap();
            let json = serde_json::to_string(&stored).unwrap();
            assert_eq!(serde_json::from_str::<UserId>(&json).unwrap(), stored, "{bad:?}");
        }
        for good in ["...", ".a", "a.", "a..b", "\u{5d0}\u{200f}", "a/b", "%2e"] {
            assert!(UserId::new(good).is_ok(), "{good:?}");
        }
        assert!(UserId::stored("").is_err() && UserId::stored("a\nb").is_err());
    }

    #[test]
    fn a_notification_id_has_one_spelling() {
        let id = NotificationId::parse("0198c0de-0000-7000-8000-000000000001").unwrap();
        assert_eq!(NotificationId::parse(&id.to_string()), Some(id));
        assert_eq!(NotificationId::parse("0198c0de00007000800000000000001"), None);
        assert_eq!(NotificationId::parse("nonsense"), None);
    }
}
