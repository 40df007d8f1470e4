use crate::frame::Cursor;

/// What one device knows of its inbox's order, by the same rule as a real client: everything above the cursor, in the
/// order of `rev`, each event saying by `prev` where it joins on.
#[derive(Debug)]
pub struct Checker {
    epoch: Box<str>,
    rev: u64,
}

/// How an event fits what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It joins on.
    Next,
    /// It is newer, but something between is missing (or `prev` is).
    Gap,
    /// It is not above what was already received: a duplicate, or too late.
    Stale,
    /// It is of another life of the store, which no run should meet.
    OtherEpoch,
}

impl Checker {
    /// Starts where `inbox_ready` says.
    pub fn new(start: Cursor<'_>) -> Self {
        Self { epoch: start.epoch.into(), rev: start.rev }
    }

    /// Judges an event, and moves on to it.
    pub fn observe(&mut self, prev: Option<u64>, cursor: Cursor<'_>) -> Verdict {
        if *cursor.epoch != *self.epoch {
            *self = Self::new(cursor);
            return Verdict::OtherEpoch;
        }
        if cursor.rev <= self.rev {
            return Verdict::Stale;
        }
        let joined = prev == Some(self.rev);
        self.rev = cursor.rev;
        if joined { Verdict::Next } else { Verdict::Gap }
    }

    /// Everything up to here was received.
    pub fn rev(&self) -> u64 {
        self.rev
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rev: u64) -> Cursor<'static> {
        Cursor { epoch: "e", rev }
    }

    #[test]
    fn a_chain_is_followed() {
        let mut checker = Checker::new(at(0));
        assert_eq!(checker.observe(Some(0), at(1)), Verdict::Next);
        assert_eq!(checker.observe(Some(1), at(4)), Verdict::Next);
        assert_eq!(checker.rev(), 4);
    }

    #[test]
    fn a_hole_is_found_once() {
        let mut checker = Checker::new(at(0));
        assert_eq!(checker.observe(Some(1), at(2)), Verdict::Gap);
        assert_eq!(checker.observe(Some(2), at(3)), Verdict::Next);
        assert_eq!(checker.observe(None, at(4)), Verdict::Gap);
    }

    #[test]
    fn what_is_at_or_below_the_cursor_is_stale() {
        let mut checker = Checker::new(at(5));
        assert_eq!(checker.observe(Some(4), at(5)), Verdict::Stale);
        assert_eq!(checker.observe(Some(2), at(3)), Verdict::Stale);
        assert_eq!(checker.rev(), 5);
    }

    #[test]
    fn another_epoch_is_never_the_next() {
        let mut checker = Checker::new(at(5));
        assert_eq!(checker.observe(Some(5), Cursor { epoch: "f", rev: 6 }), Verdict::OtherEpoch);
        assert_eq!(checker.observe(Some(6), Cursor { epoch: "f", rev: 7 }), Verdict::Next);
    }
}
