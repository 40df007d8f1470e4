//! Session identifiers.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

/// 120 random bits as 20 characters. The Engine.IO one lets its holder read and write a polling session, so it has to
/// be unguessable; held inline because every connection has two.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sid([u8; 20]);

impl Sid {
    /// `None` when the operating system has no randomness to give.
    pub(crate) fn random() -> Option<Self> {
        let mut bits = [0; 15];
        getrandom::fill(&mut bits).ok()?;
        let mut text = [0; 20];
        BASE64URL_NOPAD.encode_mut(&bits, &mut text);
        Some(Self(text))
    }

    /// What a client says its session is.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        // Random ones are base64 and parsed ones came from a `str`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Sid {
    /// Not the whole: it is a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.as_str().get(..6).unwrap_or_default())
    }
}
