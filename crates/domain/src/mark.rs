use crate::{NotificationId, Revision, State, Timestamp};

/// A change of state that a user (or somebody for them) makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkOp {
    /// Read; implies seen.
    Read,
    /// Unread again; stays seen.
    Unread,
    /// Seen.
    Seen,
    /// Out of the inbox, kept.
    Archive,
    /// Back into the inbox.
    Unarchive,
    /// Gone from every device.
    Delete,
}

/// Which notifications an operation without ids reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// What is not archived.
    Inbox,
    /// What is archived.
    Archive,
}

impl MarkOp {
    /// Every operation, in the order of the contract.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Unread, Self::Seen, Self::Archive, Self::Unarchive, Self::Delete];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Unread => "unread",
            Self::Seen => "seen",
            Self::Archive => "archive",
            Self::Unarchive => "unarchive",
            Self::Delete => "delete",
        }
    }

    /// Reads the word on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == text)
    }

    /// What `up_to` and `all` reach. Ids reach both.
    pub fn reach(self) -> Reach {
        if self == Self::Unarchive { Reach::Archive } else { Reach::Inbox }
    }

    /// The state after this operation at `now`, or `None` when it changes nothing. [`MarkOp::Delete`] always changes
    /// what is not deleted yet, and leaves the state as it is.
    pub fn apply(self, state: &State, now: Timestamp) -> Option<State> {
        let mut next = *state;
        match self {
            Self::Read => {
                next.read_at.get_or_insert(now);
                next.seen_at.get_or_insert(now);
            }
            Self::Unread => next.read_at = None,
            Self::Seen => {
                next.seen_at.get_or_insert(now);
            }
            Self::Archive => {
                next.archived_at.get_or_insert(now);
            }
            Self::Unarchive => next.archived_at = None,
            Self::Delete => return Some(next),
        }
        (next != *state).then_some(next)
    }
}

/// What a mark applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkTarget {
    /// These; unknown ones are ignored.
    Ids(Vec<NotificationId>),
    /// Everything created up to this revision that the operation reaches. `all` is an `UpTo` of the head.
    UpTo(Revision),
}

/// One request to change state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What to do.
    pub op: MarkOp,
    /// To which.
    pub target: MarkTarget,
    /// Only to those of this category.
    pub category: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(7);

    #[test]
    fn reading_implies_seen_and_unreading_does_not_undo_it() {
        let read = MarkOp::Read.apply(&State::default(), NOW).unwrap();
        assert!(read.read_at.is_some() && read.seen_at.is_some());
        let unread = MarkOp::Unread.apply(&read, NOW).unwrap();
        assert!(unread.read_at.is_none() && unread.seen_at.is_some());
    }

    #[test]
    fn doing_it_twice_changes_nothing() {
        for op in MarkOp::ALL.into_iter().filter(|op| *op != MarkOp::Delete) {
            let once = op.apply(&State::default(), NOW).unwrap_or_default();
            assert_eq!(op.apply(&once, Timestamp::from_millis(9)), None, "{op:?}");
        }
    }

    #[test]
    fn archiving_changes_neither_read_nor_seen() {
        let archived = MarkOp::Archive.apply(&State::default(), NOW).unwrap();
        assert_eq!(archived, State { archived_at: Some(NOW), ..State::default() });
    }

    #[test]
    fn words_and_operations_are_one_to_one() {
        for op in MarkOp::ALL {
            assert_eq!(MarkOp::parse(op.as_str()), Some(op));
        }
        assert_eq!(MarkOp::parse("READ"), None);
    }
}
