use crate::Revision;
use std::fmt;

/// Which notifications a device has not had as new, although they were created at or below its cursor: within a resume,
/// those whose revision has moved above the page that was served. A set of `seq`s, kept as runs of neighbours.
///
/// A cursor carries it as text, so it is bounded: see [`Unserved::bounded`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unserved(Vec<Run>);

/// `first..first + length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: Revision,
    length: u64,
}

impl Run {
    fn end(self) -> Revision {
        self.first.saturating_add(self.length)
    }
}

impl Unserved {
    /// The largest text that a cursor carries, in bytes.
    pub const TEXT_BYTES: usize = 1_024;

    /// A run of two 64-bit numbers in base 36, with the marks between.
    const RUN_BYTES: usize = 28;

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it has this one.
    pub fn contains(&self, seq: Revision) -> bool {
        let after = self.0.partition_point(|run| run.first <= seq);
        after.checked_sub(1).is_some_and(|index| seq < self.0[index].end())
    }

    /// Each of them, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Revision> + '_ {
        self.0.iter().flat_map(|run| run.first..run.end())
    }

    /// The same set where its text is short enough. Otherwise a larger one: the runs that lie closest are joined. What lies
    /// between them may then come as new once more, which is better than never.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        if self.0.len() * Self::RUN_BYTES <= Self::TEXT_BYTES {
            return self;
        }
        while self.to_string().len() > Self::TEXT_BYTES {
            let gaps = self.0.windows(2).map(|pair| pair[1].first - pair[0].end());
            // Half of the gaps at a time, the smallest first.
            let mut sorted: Vec<u64> = gaps.collect();
            sorted.sort_unstable();
            let Some(&widest) = sorted.get(sorted.len() / 2) else { break };
            let mut joined: Vec<Run> = Vec::with_capacity(self.0.len());
            for run in self.0 {
                match joined.last_mut() {
                    Some(last) if run.first - last.end() <= widest => last.length = run.end() - last.first,
                    _ => joined.push(run),
                }
            }
            self.0 = joined;
        }
        self
    }

    /// Reads what [`fmt::Display`] wrote; `None` when it is something else or longer than [`Self::TEXT_BYTES`].
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        if text.len() > Self::TEXT_BYTES {
            return None;
        }
        let mut runs = Vec::new();
        let mut at: Revision = 0;
        for part in text.split('.') {
            let (gap, length) = part.split_once('-').unwrap_or((part, "1"));
            let (gap, length) = (number(gap)?, number(length)?);
            let first = at.checked_add(gap)?;
            at = first.checked_add(length)?;
            if length == 0 || (gap == 0 && !runs.is_empty()) {
                return None;
            }
            runs.push(Run { first, length });
        }
        Some(Self(runs))
    }
}

/// Collects `seq`s in ascending order; one that is not above the one before is left out.
impl FromIterator<Revision> for Unserved {
    fn from_iter<I: IntoIterator<Item = Revision>>(seqs: I) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for seq in seqs {
            match runs.last_mut() {
                Some(last) if seq < last.end() => {}
                Some(last) if seq == last.end() => last.length += 1,
                _ => runs.push(Run { first: seq, length: 1 }),
            }
        }
        Self(runs)
    }
}

/// Runs as `gap` or `gap-length`, separated by `.`, in base 36; the gap is counted from the end of the run before.
impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at = 0;
        for (index, run) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write_number(f, run.first - at)?;
            if run.length > 1 {
                f.write_str("-")?;
                write_number(f, run.length)?;
            }
            at = run.end();
        }
        Ok(())
    }
}

fn number(text: &str) -> Option<u64> {
    let legal =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    legal.then(|| u64::from_str_radix(text, 36).ok()).flatten()
}

fn write_number(f: &mut fmt::Formatter<'_>, mut number: u64) -> fmt::Result {
    let mut digits = [0; 13];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize];
        number /= 36;
        if number == 0 {
            break;
        }
    }
    f.write_str(std::str::from_utf8(&digits[at..]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seqs: &[u64]) -> Unserved {
        seqs.iter().copied().collect()
    }

    #[test]
    fn neighbours_are_one_run_and_are_read_again() {
        let set = of(&[1, 2, 3, 7, 100]);
        assert_eq!(set.to_string(), "1-3.3.2k");
        assert_eq!(Unserved::parse(&set.to_string()), Some(set.clone()));
        for seq in 0..=101 {
            assert_eq!(set.contains(seq), [1, 2, 3, 7, 100].contains(&seq), "{seq}");
        }
        assert_eq!(Unserved::parse(""), Some(Unserved::default()));
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = "1.".repeat(Unserved::TEXT_BYTES);
        for text in [
            ".",
            "1.",
            "-1",
            "1-",
            "1-0",
            "1.0",
            "A",
            "1 2",
            "+1",
            "zzzzzzzzzzzzzz",
            "3w5e11264sgsf.1",
            &long,
        ] {
            assert_eq!(Unserved::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_large_set_is_widened_until_it_fits_and_loses_nothing() {
        let seqs: Vec<u64> = (0..10_000).map(|n| 1_000_000 + n * 7 + (n % 3)).collect();
        let bounded = of(&seqs).bounded();
        assert!(bounded.to_string().len() <= Unserved::TEXT_BYTES);
        assert!(seqs.iter().all(|seq| bounded.contains(*seq)));
        assert!(!bounded.contains(999_999) && !bounded.contains(seqs[9_999] + 1));
        let few = of(&[5, 9]);
        assert_eq!(few.clone().bounded(), few);
    }
}
