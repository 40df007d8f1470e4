use std::time::{Duration, Instant};

/// Time since the run began. Small enough to travel in a notification's text, so that the device that receives it
/// needs no table of what was sent when.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the run began; 584 years fit.
    pub fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long to wait until then; nothing if it has passed.
    pub fn until(&self, nanos: u64) -> Duration {
        Duration::from_nanos(nanos).saturating_sub(self.0.elapsed())
    }
}
