//! What became of the items of a batch, and what is kept of it beside an idempotency key.

use crate::http::batch::broken;
use crate::http::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tidings_domain::{Invalid, Timestamp};

/// What became of an item, as far as it is known before storing. The ids and numbers come from the receipts.
#[derive(Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// Stored for so many users.
    Stored(usize),
    /// Refused, with this problem.
    Refused(Box<RawValue>),
}

impl Verdict {
    /// The verdicts of a first answer: what was stored then, and the problems of `judged` for the rest.
    pub fn settled(judged: Vec<Self>, stored: &[usize]) -> Result<Vec<Self>, Problem> {
        let settle = |(verdict, users)| match (verdict, users) {
            (Self::Refused(problem), 0) => Ok(Self::Refused(problem)),
            // It was refused by another version of the server.
            (Self::Stored(_), 0) => {
                let problem =
                    Problem::new(Code::InvalidRequest, "this item was refused when it was first sent");
                Ok(Self::Refused(raw(problem)?))
            }
            (_, users) => Ok(Self::Stored(users)),
        };
        judged.into_iter().zip(stored.iter().copied()).map(settle).collect()
    }
}

fn raw(problem: Problem) -> Result<Box<RawValue>, Problem> {
    to_raw_value(&problem.body()).map_err(broken)
}

/// How many bytes the problems of one batch may have together before they are told in short.
const BYTES: usize = 256 * 1024;

/// The problems of a batch, bounded all together.
#[derive(Debug, Default)]
pub struct Problems {
    bytes: usize,
}

impl Problems {
    /// The problem of an item: in full while there is room for it.
    pub fn of(&mut self, index: usize, invalid: Invalid) -> Result<Box<RawValue>, Problem> {
        let problem = raw(invalid.into())?;
        if self.bytes + problem.get().len() <= BYTES {
            self.bytes += problem.get().len();
            return Ok(problem);
        }
        let detail = format!(
            "notifications[{index}] is refused; what is wrong with it is not listed, since this batch has too many errors"
        );
        raw(Problem::new(Code::InvalidRequest, detail))
    }
}

/// What is kept of a batch beside its idempotency key: not the problems, which the same body has again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Note {
    /// When it was judged, and for how many users each item was stored (0: refused).
    Judged {
        /// Milliseconds since 1970.
        at: i64,
        /// One an item, in order.
        stored: Vec<usize>,
    },
    /// With all problems, as it was kept by servers before this one. Keys are kept for a day.
    Whole(Vec<Verdict>),
}

impl Note {
    /// The note of what was judged at `now`.
    pub fn of(verdicts: &[Verdict], now: Timestamp) -> Self {
        let stored = verdicts.iter().map(|verdict| match verdict {
            Verdict::Stored(users) => *users,
            Verdict::Refused(_) => 0,
        });
        Self::Judged { at: now.as_millis(), stored: stored.collect() }
    }

    /// As the store keeps it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(broken)
    }

    /// As the store kept it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.starts_with(b"[") {
            return serde_json::from_slice(bytes).map(Self::Whole).map_err(broken);
        }
        serde_json::from_slice(bytes).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn refused(problems: &mut Problems, index: usize, errors: usize) -> Verdict {
        let errors = (0..errors)
            .map(|n| tidings_domain::FieldError::new(format!("{}{n}", "x".repeat(64)), "is wrong"));
        Verdict::Refused(problems.of(index, Invalid(errors.collect())).unwrap())
    }

    fn text(verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Refused(problem) => problem.get(),
            Verdict::Stored(_) => panic!("not refused"),
        }
    }

    #[test]
    fn a_thousand_refused_items_are_told_within_bounds_and_leave_a_short_note() {
        let mut problems = Problems::default();
        let verdicts: Vec<_> = (0..1_000).map(|index| refused(&mut problems, index, 20)).collect();
        let told: usize = verdicts.iter().map(|verdict| text(verdict).len()).sum();
        assert!(told < 512 * 1024, "{told}");
        assert!(text(&verdicts[0]).contains("xxx19"));
        assert!(
            text(&verdicts[999]).contains("notifications[999] is refused")
                && text(&verdicts[999]).contains("not listed")
        );
        let note = Note::of(&verdicts, NOW).to_bytes().unwrap();
        assert!(note.len() < 8 * 1024, "{}", note.len());
    }

    #[test]
    fn a_retry_finds_what_was_stored_and_the_same_problems() {
        let judge = || {
            let mut problems = Problems::default();
            vec![Verdict::Stored(2), refused(&mut problems, 1, 1), Verdict::Stored(1)]
        };
        let note = Note::of(&judge(), NOW).to_bytes().unwrap();
        let Note::Judged { at, stored } = Note::from_bytes(&note).unwrap() else { panic!("another note") };
        assert_eq!(at, NOW.as_millis());
        let settled = Verdict::settled(judge(), &stored).unwrap();
        assert!(matches!(settled[..], [Verdict::Stored(2), Verdict::Refused(_), Verdict::Stored(1)]));
        assert_eq!(text(&settled[1]), text(&judge()[1]));
        // Where the rules have changed meanwhile, what was stored stays what it was.
        let settled = Verdict::settled(judge(), &[0, 3, 1]).unwrap();
        assert!(matches!(settled[..], [Verdict::Refused(_), Verdict::Stored(3), Verdict::Stored(1)]));
    }

    #[test]
    fn reads_the_notes_of_servers_before_this_one() {
        let old = br#"[{"Stored":2},{"Refused":{"status":400}}]"#;
        let Note::Whole(verdicts) = Note::from_bytes(old).unwrap() else { panic!("another note") };
        assert!(matches!(verdicts[..], [Verdict::Stored(2), Verdict::Refused(_)]));
        assert!(Note::from_bytes(b"nonsense").is_err());
    }
}
