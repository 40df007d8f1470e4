//! Warnings about clients that can never get in.
//!
//! Such a client tries again without end, and its user is shown nothing. So the operator is told: one line a minute for each
//! cause, however many clients there are, with the address of one of them.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(60);

/// Why a client can never get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Another version of Engine.IO than 4.
    Version,
    /// Binary data where the CONNECT is due.
    Binary,
    /// A CONNECT whose `auth` is no object.
    Auth,
    /// Anything else that is not the protocol where the CONNECT is due.
    Protocol,
}

impl Misfit {
    const ALL: usize = 4;

    fn why(self) -> &'static str {
        match self {
            Self::Version => {
                "it speaks another version of Engine.IO than 4; it needs a client library of Socket.IO 3 or newer"
            }
            Self::Binary => {
                "it sends binary data where its CONNECT is due, as the msgpack parser does; it needs the default parser"
            }
            Self::Auth => "its `auth` is not an object, or not JSON",
            Self::Protocol => "what it sends where its CONNECT is due is not Socket.IO 5",
        }
    }
}

/// When each cause was last told of. Its size does not depend on how many clients there are.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    told: Mutex<[Told; Misfit::ALL]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    at: Option<Instant>,
    /// How often since then.
    since: u64,
}

impl Warnings {
    /// A client cannot get in.
    pub(crate) fn warn(&self, misfit: Misfit, address: Option<IpAddr>, now: Instant) {
        let Some(untold) = self.count(misfit, now) else { return };
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        tracing::warn!(client.address = address, untold, "a client cannot connect: {}", misfit.why());
    }

    /// How many were not told of before this one; `None` if this one is not to be told of either.
    fn count(&self, misfit: Misfit, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.get_mut(misfit as usize)?;
        if told.at.is_some_and(|at| now.duration_since(at) < PAUSE) {
            told.since += 1;
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_of_once_a_minute() {
        let (warnings, now) = (Warnings::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(warnings.count(Misfit::Version, now), Some(0));
        for n in 1..60 {
            assert_eq!(warnings.count(Misfit::Version, now + n * second), None);
        }
        assert_eq!(warnings.count(Misfit::Protocol, now + second), Some(0), "another cause is not held back");
        assert_eq!(warnings.count(Misfit::Version, now + PAUSE), Some(59));
        assert_eq!(warnings.count(Misfit::Version, now + PAUSE + second), None);
    }
}
