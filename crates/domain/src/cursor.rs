use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The number of a change in one inbox; the first is 1, and 0 stands before all of them.
pub type Revision = u64;

/// Names one life of the store. It changes when the store is replaced or restored, so that a cursor from before is
/// recognised. 1..64 letters, digits and `-`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// Takes a text that keeps the form.
    pub fn new(text: &str) -> Result<Self, CursorError> {
        let legal = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if legal { Ok(Self(Arc::from(text))) } else { Err(CursorError) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A place in an inbox's log: "I have everything up to and including this revision". Written `epoch:rev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The life of the store in which `rev` means something.
    pub epoch: Epoch,
    /// Everything up to here is known.
    pub rev: Revision,
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a cursor as the server wrote it, epoch:rev")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, rev) = text.rsplit_once(':').ok_or(CursorError)?;
        // `u64::from_str` takes a leading `+`; the form has one spelling.
        if !rev.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CursorError);
        }
        Ok(Self { epoch: Epoch::new(epoch)?, rev: rev.parse().map_err(|_| CursorError)? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.rev)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_wrote() {
        let cursor = Cursor { epoch: Epoch::new("e1").unwrap(), rev: 41 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn a_malformed_cursor_is_refused() {
        for text in ["", ":", "e:", ":1", "e:-1", "e:+1", "e:1x", "e f:1", "e:18446744073709551616", "41"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
