use crate::input::notification::Refused;
use crate::input::{Fields, Unknown};
use std::time::Duration;

/// How long a token holds when nothing is said, and at most.
const DEFAULT: u64 = 3_600;
const MOST: u64 = 30 * 86_400;

/// `{"ttl_seconds"?}`.
pub fn read_ttl(body: &str) -> Result<Duration, Refused> {
    let mut fields = Fields::of(body)?;
    let seconds = fields.number("ttl_seconds");
    if seconds.is_some_and(|seconds| !(1..=MOST).contains(&seconds)) {
        fields.wrong("ttl_seconds", format!("must be 1 to {MOST}"));
    }
    fields.finish(Unknown::Refuse)?;
    Ok(Duration::from_secs(seconds.unwrap_or(DEFAULT)))
}
