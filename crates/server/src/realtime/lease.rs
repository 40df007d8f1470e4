use std::time::Duration;
use tidings_auth::Verified;
use tidings_domain::Timestamp;
use tokio::time::Instant;

/// How long before a token's end its client is told at the earliest; a shorter-lived one is told half-way.
const LEAD: Duration = Duration::from_secs(60);

/// How long an attached user's token still holds.
#[derive(Debug, Clone)]
pub struct Lease {
    /// When it ends.
    pub expires_at: Timestamp,
    warn_at: Option<Instant>,
    end_at: Instant,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The client is told that the end is near.
    Warn,
    /// The token has ended.
    End,
}

impl Lease {
    /// A lease from `now`, which is `instant`.
    pub fn new(verified: &Verified, now: Timestamp, instant: Instant) -> Self {
        let left = verified.expires_at.as_millis().saturating_sub(now.as_millis());
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        // A token for centuries must not overflow the clock.
        let left = left.min(Duration::from_secs(10 * 365 * 86_400));
        let warn_at = instant + left.saturating_sub(LEAD).max(left / 2);
        Self { expires_at: verified.expires_at, warn_at: Some(warn_at), end_at: instant + left }
    }

    /// When it ends.
    pub fn end(&self) -> Instant {
        self.end_at
    }

    /// When something is due next.
    pub fn next(&self) -> Instant {
        self.warn_at.unwrap_or(self.end_at)
    }

    /// What is due at `now`, if anything; each is due once.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if now >= self.end_at {
            return Some(Due::End);
        }
        self.warn_at.take_if(|warn_at| now >= *warn_at).map(|_| Due::Warn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_domain::UserId;

    #[test]
    fn warns_once_ahead_of_the_end() {
        let start = Instant::now();
        let now = Timestamp::from_millis(0);
        let expires_at = Timestamp::from_millis(600_000);
        let verified = Verified { user: UserId::new("ana").unwrap(), expires_at, issued_at: None };
        let mut lease = Lease::new(&verified, now, start);
        assert_eq!(lease.next(), start + Duration::from_secs(540));
        assert_eq!(lease.due(start + Duration::from_secs(539)), None);
        assert_eq!(lease.due(start + Duration::from_secs(540)), Some(Due::Warn));
        assert_eq!(lease.due(start + Duration::from_secs(541)), None);
        assert_eq!(lease.next(), start + Duration::from_secs(600));
        assert_eq!(lease.due(start + Duration::from_secs(600)), Some(Due::End));
    }

    #[test]
    fn a_short_token_is_warned_of_half_way() {
        let start = Instant::now();
        let verified = Verified {
            user: UserId::new("ana").unwrap(),
            expires_at: Timestamp::from_millis(10_000),
            issued_at: None,
        };
        assert_eq!(
            Lease::new(&verified, Timestamp::from_millis(0), start).next(),
            start + Duration::from_secs(5)
        );
    }
}
