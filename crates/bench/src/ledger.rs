use crate::checker::Verdict;
use crate::histogram::Histogram;

/// Who sent what and what arrived: the books of one run, by the number of each send.
pub struct Ledger {
    accepted: Bits,
    received: Bits,
    /// From the start of a POST to its answer.
    pub post: Histogram,
    /// From the start of a POST to its receipt by the device.
    pub end_to_end: Histogram,
    /// The run's numbers.
    pub tally: Tally,
    /// What the first send that was not accepted got in place of it.
    pub first_failure: Option<String>,
    /// When the last new notification was received.
    pub last_received_at: u64,
}

/// The run's numbers.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Sends answered with a 2xx.
    pub accepted: u64,
    /// Sends answered with anything else.
    pub refused: u64,
    /// Sends without an answer: the connection broke or timed out.
    pub unanswered: u64,
    /// Sends that were received, each counted once.
    pub received: u64,
    /// Receipts of something already received.
    pub duplicates: u64,
    /// First receipts at or below the device's cursor, or of another epoch.
    pub out_of_order: u64,
    /// Events that did not join on to the one before.
    pub gaps: u64,
    /// Devices that lost their connection.
    pub disconnected: u64,
}

impl Ledger {
    /// Books for this many sends.
    pub fn new(sends: u64) -> Self {
        Self {
            accepted: Bits::new(sends),
            received: Bits::new(sends),
            post: Histogram::new(),
            end_to_end: Histogram::new(),
            tally: Tally::default(),
            first_failure: None,
            last_received_at: 0,
        }
    }

    /// A send was answered with a 2xx.
    pub fn accepted(&mut self, number: u64, latency: u64) {
        if self.accepted.set(number) {
            self.tally.accepted += 1;
            self.post.record(latency);
        }
    }

    /// A send was answered with something else.
    pub fn refused(&mut self, answer: impl FnOnce() -> String) {
        self.tally.refused += 1;
        self.first_failure.get_or_insert_with(answer);
    }

    /// A send got no answer: it may or may not have been stored.
    pub fn unanswered(&mut self, reason: impl FnOnce() -> String) {
        self.tally.unanswered += 1;
        self.first_failure.get_or_insert_with(reason);
    }

    /// A device received a notification of this run.
    pub fn received(&mut self, number: u64, sent_at: u64, now: u64, verdict: Verdict) {
        let first = self.received.set(number);
        if first {
            self.tally.received += 1;
            self.end_to_end.record(now.saturating_sub(sent_at));
            self.last_received_at = now;
        }
        match verdict {
            Verdict::Next => self.tally.duplicates += u64::from(!first),
            Verdict::Gap => {
                self.tally.gaps += 1;
                self.tally.duplicates += u64::from(!first);
            }
            Verdict::Stale if !first => self.tally.duplicates += 1,
            Verdict::Stale | Verdict::OtherEpoch => self.tally.out_of_order += 1,
        }
    }

    /// A device lost its connection.
    pub fn disconnected(&mut self, reason: impl FnOnce() -> String) {
        self.tally.disconnected += 1;
        self.first_failure.get_or_insert_with(reason);
    }

    /// Sends that were accepted and never received.
    pub fn lost(&self) -> u64 {
        self.accepted.without(&self.received)
    }
}

/// A set of numbers below a bound that is known from the start.
struct Bits(Box<[u64]>);

impl Bits {
    fn new(bound: u64) -> Self {
        Self(vec![0; usize::try_from(bound.div_ceil(64)).unwrap_or(usize::MAX)].into_boxed_slice())
    }

    /// Adds a number; false when it was there, or is none of the run's.
    fn set(&mut self, number: u64) -> bool {
        let bit = 1 << (number % 64);
        let Some(word) = usize::try_from(number / 64).ok().and_then(|index| self.0.get_mut(index)) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// How many are here and not there.
    fn without(&self, there: &Self) -> u64 {
        self.0.iter().zip(&there.0).map(|(here, there)| u64::from((here & !there).count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_and_not_received_is_lost() {
        let mut ledger = Ledger::new(100);
        for number in [0, 63, 64, 99] {
            ledger.accepted(number, 1);
        }
        ledger.received(63, 0, 10, Verdict::Next);
        ledger.received(99, 0, 10, Verdict::Next);
        // A send without an answer may arrive; it is not missed when it does not.
        ledger.received(7, 0, 10, Verdict::Next);
        assert_eq!(ledger.lost(), 2);
        assert_eq!((ledger.tally.received, ledger.tally.duplicates), (3, 0));
    }

    #[test]
    fn a_second_receipt_is_a_duplicate_and_has_no_latency() {
        let mut ledger = Ledger::new(10);
        ledger.received(3, 0, 5, Verdict::Next);
        ledger.received(3, 0, 9, Verdict::Stale);
        ledger.received(3, 0, 9, Verdict::Next);
        assert_eq!((ledger.tally.duplicates, ledger.tally.out_of_order), (2, 0));
        assert_eq!((ledger.end_to_end.count(), ledger.last_received_at), (1, 5));
    }

    #[test]
    fn a_late_first_receipt_is_out_of_order() {
        let mut ledger = Ledger::new(10);
        ledger.received(3, 0, 5, Verdict::Stale);
        ledger.received(4, 0, 5, Verdict::Gap);
        assert_eq!((ledger.tally.out_of_order, ledger.tally.gaps, ledger.tally.duplicates), (1, 1, 0));
    }

    #[test]
    fn a_number_that_was_never_sent_does_no_harm() {
        let mut ledger = Ledger::new(64);
        ledger.received(u64::MAX, 0, 5, Verdict::Next);
        assert_eq!((ledger.tally.received, ledger.lost()), (0, 0));
    }
}
