//! Looks whether news was lost: compares what this node has heard of its users' inboxes with the store's heads.
//!
//! At once for those whose news begins to flow and, after a gap, for all; otherwise all in turn, spread over half a minute
//! while the bus is up and over two seconds while it is down. One call to the store at a time, so that a node with many
//! users is slower rather than a burden.
//!
//! That a user's sessions were ended is news too. Where it may have been missed, the store says when that was, and sessions
//! whose tokens are older end.

use crate::realtime::hub::{Hub, SHARDS};
use futures_util::{StreamExt, stream};
use std::convert::Infallible;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidings_bus::{Link, Listener};
use tidings_domain::UserId;
use tidings_store::{Store, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// All heads are checked once in so long.
const WHILE_UP: Duration = Duration::from_secs(30);
const WHILE_DOWN: Duration = Duration::from_secs(2);

/// How many heads one call to the store reads.
const AT_ONCE: usize = 256;

/// How many other reads run at a time.
const TOGETHER: usize = 8;

/// Past so many users who wait for a check, all are checked.
const WAITING: usize = 4_096;

/// How long a store that could not answer is left alone.
const RETRY: Duration = Duration::from_millis(500);

/// Whose heads are to be checked at once.
#[derive(Debug, Default)]
pub struct Checks {
    wanted: Mutex<Wanted>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Wanted {
    all: bool,
    users: Vec<UserId>,
}

impl Wanted {
    fn is_something(&self) -> bool {
        self.all || !self.users.is_empty()
    }
}

impl Checks {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These users'.
    pub fn want(&self, users: &[UserId]) {
        let mut wanted = self.lock();
        if wanted.users.len() + users.len() > WAITING {
            wanted.all = true;
        }
        if !wanted.all {
            wanted.users.extend_from_slice(users);
        }
        drop(wanted);
        self.news.notify_one();
    }

    /// Everybody's.
    pub fn want_all(&self) {
        *self.lock() = Wanted { all: true, users: Vec::new() };
        self.news.notify_one();
    }

    fn take(&self) -> Wanted {
        mem::take(&mut *self.lock())
    }
}

/// Checks heads for as long as it is polled.
pub async fn check_heads(hub: Arc<Hub>, store: Arc<dyn Store>) -> Infallible {
    let (mut shard, mut last, mut trouble) = (0, Instant::now(), Trouble::default());
    loop {
        let wanted = hub.checks.take();
        if wanted.is_something() && trouble.note(&check_wanted(&hub, &*store, &wanted).await) {
            if wanted.all {
                hub.checks.want_all()
            } else {
                hub.checks.want(&wanted.users)
            }
            tokio::time::sleep(RETRY).await;
            continue;
        }
        let due = match hub.link() {
            Link::Alone => None,
            Link::Up => Some(last + WHILE_UP / SHARDS as u32),
            Link::Down => Some(last + WHILE_DOWN / SHARDS as u32),
        };
        tokio::select! {
            () = hub.checks.news.notified() => {}
            () = at(due) => {
                // What fails is tried again when this shard's turn comes.
                let users = hub.users(shard);
                if !users.is_empty() {
                    trouble.note(&check_due(&hub, &*store, &users).await);
                }
                (shard, last) = ((shard + 1) % SHARDS, Instant::now());
            }
        }
    }
}

/// Whether checks fail now. A store that is away fails every check: it is logged when that begins and when it ends.
#[derive(Default)]
struct Trouble(bool);

impl Trouble {
    /// Whether this check failed.
    fn note(&mut self, checked: &Result<(), StoreError>) -> bool {
        match checked {
            Err(error) if !self.0 => {
                tracing::warn!(%error, "heads could not be checked; it is tried again");
            }
            Ok(()) if self.0 => tracing::info!("heads are checked again"),
            _ => {}
        }
        self.0 = checked.is_err();
        self.0
    }
}

async fn check_due(hub: &Hub, store: &dyn Store, users: &[UserId]) -> Result<(), StoreError> {
    check(hub, store, users).await?;
    match hub.link() {
        Link::Down => check_sessions(hub, store, users).await,
        Link::Alone | Link::Up => Ok(()),
    }
}

async fn check_wanted(hub: &Hub, store: &dyn Store, wanted: &Wanted) -> Result<(), StoreError> {
    if wanted.all {
        for shard in 0..SHARDS {
            let users = hub.users(shard);
            check(hub, store, &users).await?;
            check_sessions(hub, store, &users).await?;
        }
    }
    check(hub, store, &wanted.users).await?;
    check_sessions(hub, store, &wanted.users).await
}

async fn check(hub: &Hub, store: &dyn Store, users: &[UserId]) -> Result<(), StoreError> {
    for users in users.chunks(AT_ONCE) {
        let heads = store.heads(users).await?;
        users.iter().zip(heads).for_each(|(user, head)| hub.raised(user, head));
    }
    Ok(())
}

async fn check_sessions(hub: &Hub, store: &dyn Store, users: &[UserId]) -> Result<(), StoreError> {
    let users: Vec<_> = users.iter().filter(|user| hub.has_tokens(user)).collect();
    let reads: Vec<_> = users.iter().map(|user| store.revoked_at(user)).collect();
    let mut ended = stream::iter(users).zip(stream::iter(reads).buffered(TOGETHER));
    while let Some((user, ended_at)) = ended.next().await {
        if let Some(ended_at) = ended_at? {
            hub.end_issued_before(user, ended_at);
        }
    }
    Ok(())
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::captured;

    #[test]
    fn checks_that_fail_are_logged_when_that_begins_and_when_it_ends() {
        let (log, _capturing) = captured();
        let failed = || Err(StoreError::Unavailable("no primary".to_owned()));
        let mut trouble = Trouble::default();
        assert!(!trouble.note(&Ok(())));
        for _ in 0..3 {
            assert!(trouble.note(&failed()));
        }
        assert!(!trouble.note(&Ok(())) && !trouble.note(&Ok(())));
        let count = |words: &str| log.text().matches(words).count();
        assert_eq!((count("could not be checked"), count("checked again")), (1, 1), "{}", log.text());
        assert!(log.text().contains("no primary"));
    }
}
