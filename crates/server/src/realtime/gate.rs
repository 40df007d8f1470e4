use tokio::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Counts one socket's events, second by second. Past the limit no event is refused: the next one is taken when the second
/// is over, and until then the client feels back-pressure.
#[derive(Debug)]
pub struct RateGate {
    limit: u32,
    second: Option<Instant>,
    events: u32,
}

impl RateGate {
    /// At most `limit` events a second; 0 is no limit.
    pub fn new(limit: u32) -> Self {
        Self { limit, second: None, events: 0 }
    }

    /// One more event was taken.
    pub fn count(&mut self, now: Instant) {
        if self.limit == 0 {
            return;
        }
        if self.second.is_none_or(|second| now.duration_since(second) >= SECOND) {
            self.second = Some(now);
            self.events = 0;
        }
        self.events = self.events.saturating_add(1);
    }

    /// When the next event may be taken, if not at once.
    pub fn shut_until(&self, now: Instant) -> Option<Instant> {
        if self.limit == 0 || self.events < self.limit {
            return None;
        }
        self.second.map(|second| second + SECOND).filter(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_limit_the_next_event_waits_for_the_second_to_end() {
        let start = Instant::now();
        let mut gate = RateGate::new(2);
        assert_eq!(gate.shut_until(start), None);
        gate.count(start);
        assert_eq!(gate.shut_until(start), None);
        gate.count(start + SECOND / 2);
        assert_eq!(gate.shut_until(start + SECOND / 2), Some(start + SECOND));
        assert_eq!(gate.shut_until(start + SECOND), None);
        gate.count(start + SECOND);
        assert_eq!(gate.shut_until(start + SECOND), None, "a new second counts from its beginning");
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let start = Instant::now();
        let mut gate = RateGate::new(0);
        (0..1_000).for_each(|_| gate.count(start));
        assert_eq!(gate.shut_until(start), None);
    }
}
