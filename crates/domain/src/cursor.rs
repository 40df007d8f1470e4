use crate::{Epoch, Unserved};
use std::fmt;
use std::str::FromStr;

/// The number of a change in one inbox; the first is 1, and 0 stands before all of them.
pub type Revision = u64;

/// A place in an inbox's log: "I have everything up to and including this revision". Written `epoch:rev`; within a resume
/// perhaps `epoch:rev;unserved`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The life of the inbox in which `rev` means something.
    pub epoch: Epoch,
    /// Everything up to here is known.
    pub rev: Revision,
    /// What was created up to `rev` and has not come as a new notification yet; empty outside of a resume.
    pub unserved: Unserved,
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a cursor as the server wrote it, epoch:rev")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (place, unserved) = text.split_once(';').unwrap_or((text, ""));
        let (epoch, rev) = place.rsplit_once(':').ok_or(CursorError)?;
        if !rev.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CursorError);
        }
        let rev = rev.parse().map_err(|_| CursorError)?;
        let unserved = Unserved::parse(unserved).ok_or(CursorError)?;
        Ok(Self { epoch: Epoch::new(epoch).map_err(|_| CursorError)?, rev, unserved })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.rev)?;
        if self.unserved.is_empty() { Ok(()) } else { write!(f, ";{}", self.unserved) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_wrote() {
        let mut cursor = Cursor { epoch: Epoch::new("e1").unwrap(), rev: 41, unserved: Unserved::default() };
        assert_eq!(cursor.to_string(), "e1:41");
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        cursor.unserved = [3, 4, 5, 40].into_iter().collect();
        assert_eq!(cursor.to_string(), "e1:41;3-3.y");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn a_malformed_cursor_is_refused() {
        for text in [
            "",
            ":",
            "e:",
            ":1",
            "e:-1",
            "e:+1",
            "e:1x",
            "e f:1",
            "e:18446744073709551616",
            "41",
            "e:4;!",
            "e:4;1-0",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
