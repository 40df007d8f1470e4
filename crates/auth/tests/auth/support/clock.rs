use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tidings_domain::{Clock, Timestamp};

/// A clock that stands until it is turned.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Where it starts, in seconds.
    pub const START: i64 = 1_800_000_000;

    pub fn new() -> Self {
        Self(AtomicI64::new(Self::START * 1000))
    }

    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn set_back(&self, duration: Duration) {
        self.0.fetch_sub(i64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
