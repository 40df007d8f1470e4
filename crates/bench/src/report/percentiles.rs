use crate::histogram::Histogram;
use serde::Serialize;
use std::fmt;

/// How a latency was distributed, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Exceeded by one in a hundred.
    pub p99: f64,
    /// The worst.
    pub max: f64,
}

impl From<&Histogram> for Percentiles {
    fn from(nanos: &Histogram) -> Self {
        let ms = |nanos: u64| nanos as f64 / 1e6;
        Self { p50: ms(nanos.quantile(0.5)), p99: ms(nanos.quantile(0.99)), max: ms(nanos.max()) }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", self.p50, self.p99, self.max)
    }
}
