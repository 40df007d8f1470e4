/// Sub-buckets for each power of two, as a power of two: 128 of them keep the error under 0.8 %.
const PRECISION: u32 = 7;
const SUB_BUCKETS: u64 = 1 << PRECISION;
const BUCKETS: usize = ((64 - PRECISION + 1) as usize) << PRECISION;

/// Counts durations by size with a bounded relative error (log-linear, as HdrHistogram does it), in 60 KiB whatever is
/// recorded. The largest value is kept exactly.
pub struct Histogram {
    counts: Box<[u64]>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice(), count: 0, max: 0 }
    }

    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that this share of the recorded ones does not exceed; 0 when nothing was recorded.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut passed = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            passed += count;
            if passed >= rank {
                return upper_bound(index).min(self.max);
            }
        }
        self.max
    }
}

/// Values below 2^PRECISION have a bucket each; above, the topmost PRECISION + 1 bits choose it.
fn bucket(value: u64) -> usize {
    let bits = 64 - value.leading_zeros();
    let shift = bits.saturating_sub(PRECISION + 1);
    (u64::from(shift) * SUB_BUCKETS + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / SUB_BUCKETS).saturating_sub(1);
    let top = index - shift * SUB_BUCKETS;
    // The topmost bucket ends at u64::MAX: its upper end plus one does not fit.
    ((u128::from(top + 1) << shift) - 1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_hole() {
        for index in 0..BUCKETS {
            let last = upper_bound(index);
            assert_eq!(bucket(last), index);
            if let Some(next) = last.checked_add(1) {
                assert_eq!(bucket(next), index + 1);
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_exact_within_the_precision() {
        let mut histogram = Histogram::new();
        for value in 1..=1_000_000 {
            histogram.record(value);
        }
        for (share, exact) in [(0.5, 500_000.0), (0.99, 990_000.0), (0.001, 1_000.0)] {
            let found = histogram.quantile(share) as f64;
            assert!((found / exact - 1.0).abs() < 0.008, "{share}: {found}");
        }
        assert_eq!(histogram.quantile(1.0), 1_000_000);
        assert_eq!((histogram.max(), histogram.count()), (1_000_000, 1_000_000));
    }

    #[test]
    fn nothing_recorded_is_nothing_reported() {
        assert_eq!(Histogram::new().quantile(0.99), 0);
    }

    #[test]
    fn one_value_is_every_quantile() {
        let mut histogram = Histogram::new();
        histogram.record(1_000_003);
        assert_eq!(histogram.quantile(0.0), 1_000_003);
        assert_eq!(histogram.quantile(0.99), 1_000_003);
    }
}
