use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(100);

/// Short enough that what was missed is back within seconds of Redis' return.
const LONGEST: Duration = Duration::from_secs(2);

/// How long to wait before the next attempt: twice as long each time up to a bound, and somewhat at random, so that nodes
/// do not come back all at once.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// From the beginning.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next wait.
    pub fn next(&mut self) -> Duration {
        let full = (SHORTEST * 2_u32.pow(self.attempts.min(10))).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        let dice = getrandom::u32().unwrap_or(u32::MAX);
        full / 2 + full.mul_f64(f64::from(dice) / f64::from(u32::MAX) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_a_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|_| backoff.next()).collect();
        assert!(waits[0] <= SHORTEST && waits[0] >= SHORTEST / 2);
        assert!(waits[10..].iter().all(|wait| *wait <= LONGEST && *wait >= LONGEST / 2));
        backoff.reset();
        assert!(backoff.next() <= SHORTEST);
    }
}
