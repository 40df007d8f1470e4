use crate::{Revision, Unserved};
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

/// What a resume has found to have changed since it was created, and has therefore moved away from where it was created.
///
/// A resume brings an inbox in order of revision. Where it stands at revision *n*, a notification that was created at or
/// below *n* and changed above it has not come yet. If the resume is cut there, *n* alone would say that the device knows it.
/// This remembers which those are, and for those that came lately at which revision, so that for any place that the device
/// may go on from it tells what has not come as new ([`Moved::unserved_at`]).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// Not served yet.
    unserved: BTreeSet<Revision>,
    /// Served lately, by the revision that brought them, in ascending order.
    served: VecDeque<(Revision, Vec<Revision>)>,
}

impl Moved {
    /// How many revisions are remembered after they were served: at least as many as may be on their way to a device.
    const REMEMBERED: usize = 128;

    /// The largest note, in bytes.
    pub const NOTE_BYTES: usize = 4_096;

    /// What a device had not had as new where it starts; `upto` is where it starts.
    pub fn starting_with(unserved: &Unserved, upto: Revision) -> Self {
        let seqs = unserved.iter().take_while(|seq| *seq <= upto).take(crate::RESUME_REACH as usize);
        Self { unserved: seqs.collect(), served: VecDeque::new() }
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.unserved.is_empty() && self.served.is_empty()
    }

    /// Whether this one has yet to come as new.
    pub fn is_unserved(&self, seq: Revision) -> bool {
        self.unserved.contains(&seq)
    }

    /// These were created at or below where the resume stands, and changed above it.
    pub fn found(&mut self, seqs: impl IntoIterator<Item = Revision>) {
        self.unserved.extend(seqs);
    }

    /// `rev` brings these, which the device has not had before. Called in order of revision.
    pub fn serve(&mut self, rev: Revision, seqs: impl IntoIterator<Item = Revision>) {
        let moved: Vec<Revision> = seqs.into_iter().filter(|seq| *seq != rev).collect();
        for seq in &moved {
            self.unserved.remove(seq);
        }
        if !moved.is_empty() {
            self.served.push_back((rev, moved));
        }
        if self.served.len() > Self::REMEMBERED {
            self.served.pop_front();
        }
    }

    /// There is nothing more to serve.
    pub fn forget_unserved(&mut self) {
        self.unserved.clear();
    }

    /// What has not come as new to a device that stands at `cursor`.
    pub fn unserved_at(&self, cursor: Revision) -> Unserved {
        if self.is_empty() {
            return Unserved::default();
        }
        let later = self.served.iter().rev().take_while(|(rev, _)| *rev > cursor);
        let mut seqs: Vec<Revision> = self.unserved.range(..=cursor).copied().collect();
        seqs.extend(later.flat_map(|(_, seqs)| seqs).filter(|seq| **seq <= cursor));
        seqs.sort_unstable();
        seqs.into_iter().collect::<Unserved>().bounded()
    }

    /// As a text of at most [`Self::NOTE_BYTES`], for the device's record in the store. What was served longest ago is left
    /// out where it does not fit.
    pub fn to_note(&self) -> String {
        let mut note = self.unserved.iter().copied().collect::<Unserved>().bounded().to_string();
        for (rev, seqs) in self.served.iter().rev() {
            let mut seqs = seqs.clone();
            seqs.sort_unstable();
            let seqs = seqs.into_iter().collect::<Unserved>().bounded();
            let before = note.len();
            // Writing to a string cannot fail.
            let _ = write!(note, "/{rev}:{seqs}");
            if note.len() > Self::NOTE_BYTES {
                note.truncate(before);
                break;
            }
        }
        note
    }

    /// What a note says of a device that stands at `cursor`. A note that cannot be read says nothing.
    pub fn noted_at(note: &str, cursor: Revision) -> Unserved {
        Self::from_note(note).map(|moved| moved.unserved_at(cursor)).unwrap_or_default()
    }

    fn from_note(note: &str) -> Option<Self> {
        let mut groups = note.split('/');
        let read = |text: &str| -> Option<Vec<Revision>> {
            Some(Unserved::parse(text)?.iter().take(crate::RESUME_REACH as usize).collect())
        };
        let mut moved = Self { unserved: read(groups.next()?)?.into_iter().collect(), ..Self::default() };
        for group in groups.take(Self::REMEMBERED) {
            let (rev, seqs) = group.split_once(':')?;
            moved.served.push_front((rev.parse().ok()?, read(seqs)?));
        }
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seqs(unserved: &Unserved) -> Vec<Revision> {
        unserved.iter().collect()
    }

    #[test]
    fn a_place_within_a_resume_tells_what_has_not_come_there() {
        let mut moved = Moved::default();
        // 1..=9 were created; 2 and 3 changed as 10, 5 as 11, 7 as 12.
        moved.found([2, 3, 5, 7]);
        moved.serve(9, [9]);
        moved.serve(10, [2, 3]);
        moved.serve(11, [5]);
        for (cursor, expected) in [
            (1, vec![]),
            (2, vec![2]),
            (6, vec![2, 3, 5]),
            (9, vec![2, 3, 5, 7]),
            (10, vec![5, 7]),
            (11, vec![7]),
        ] {
            assert_eq!(seqs(&moved.unserved_at(cursor)), expected, "{cursor}");
            assert_eq!(Moved::noted_at(&moved.to_note(), cursor), moved.unserved_at(cursor), "{cursor}");
        }
        moved.serve(12, [7]);
        assert!(moved.unserved_at(12).is_empty());
    }

    #[test]
    fn a_resume_goes_on_with_what_it_was_cut_with() {
        let mut moved = Moved::default();
        moved.found([2, 5, 7]);
        let again = Moved::starting_with(&moved.unserved_at(6), 6);
        assert!(again.is_unserved(2) && again.is_unserved(5) && !again.is_unserved(7));
    }

    #[test]
    fn notes_and_memory_are_bounded() {
        let mut moved = Moved::default();
        moved.found((0..5_000).map(|n| n * 2));
        for n in 0..1_000 {
            moved.serve(20_000 + n, [n * 2]);
        }
        assert!(moved.to_note().len() <= Moved::NOTE_BYTES);
        assert!(Moved::from_note(&moved.to_note()).is_some());
        assert_eq!(moved.served.len(), Moved::REMEMBERED);
        let last = 20_999;
        assert!(Moved::noted_at(&moved.to_note(), last).contains(9_998));
    }

    #[test]
    fn a_note_that_cannot_be_read_says_nothing() {
        for note in ["!", "1/", "1/x:1", "1/2"] {
            assert!(Moved::noted_at(note, 9).is_empty(), "{note}");
        }
    }
}
