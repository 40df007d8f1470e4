use crate::realtime::checks::Checks;
use crate::realtime::{Frame, feed::Feed};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidings_bus::{Answer, Bus, Link, Listener, Online, Question};
use tidings_domain::{Change, DeviceId, Revision, Timestamp, UserId};

pub const SHARDS: usize = 64;

/// What is larger does not fit into one event, which holds [`tidings_store::PAGE_BYTES`] beside its last item.
const EVENT_BYTES: usize = tidings_store::PAGE_BYTES;

type Shard = HashMap<UserId, Arc<Feed>>;

/// Who is online on this node: a feed for each user with at least one reader.
pub struct Hub {
    bus: Arc<dyn Bus>,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    /// Whose heads are to be checked at once.
    pub checks: Checks,
}

/// Too many of this user are online already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

impl Hub {
    /// An empty hub.
    pub fn new(bus: Arc<dyn Bus>) -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Arc::new(Self { bus, hasher: RandomState::new(), shards, checks: Checks::default() })
    }

    fn shard(&self, user: &UserId) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(user) as usize % self.shards.len();
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader of this user comes online; it goes when the seat is dropped. `limit` is how many a user may have, 0 for
    /// any number.
    pub fn join(
        self: &Arc<Self>,
        user: &UserId,
        device: DeviceId,
        transport: &'static str,
        limit: usize,
    ) -> Result<Seat, Crowded> {
        let mut shard = self.shard(user);
        let feed = match shard.get(user) {
            Some(feed) => {
                if limit > 0 && feed.readers() >= limit {
                    return Err(Crowded);
                }
                feed.clone()
            }
            None => {
                self.bus.join(user);
                shard.entry(user.clone()).or_default().clone()
            }
        };
        let key = feed.join(device, transport);
        Ok(Seat { hub: self.clone(), user: user.clone(), feed, key })
    }

    fn feed(&self, user: &UserId) -> Option<Arc<Feed>> {
        self.shard(user).get(user).cloned()
    }

    /// Ends all of the user's sessions on this node. Returns how many.
    pub fn end_here(&self, user: &UserId) -> usize {
        self.feed(user).map_or(0, |feed| feed.end())
    }

    /// Ends all of the user's sessions on every node. Returns how many, on this node and those that answered.
    pub async fn end(&self, user: &UserId) -> usize {
        let here = self.end_here(user);
        let elsewhere = self.bus.ask(user, Question::EndSessions).await;
        let ended = elsewhere.into_iter().map(|answer| match answer {
            Answer::Ended(ended) => ended,
            Answer::Online(_) => 0,
        });
        ended.fold(here, usize::saturating_add)
    }

    /// Ends the user's sessions on this node whose tokens were issued before `ended_at`.
    pub fn end_issued_before(&self, user: &UserId, ended_at: Timestamp) {
        if let Some(feed) = self.feed(user) {
            feed.end_issued_before(ended_at);
        }
    }

    /// Whether any session of the user on this node was opened with a token.
    pub fn has_tokens(&self, user: &UserId) -> bool {
        self.feed(user).is_some_and(|feed| feed.has_tokens())
    }

    /// The user's devices that are online on this node.
    pub fn online_here(&self, user: &UserId) -> Vec<Online> {
        self.feed(user).map(|feed| feed.online()).unwrap_or_default()
    }

    /// The user's devices that are online on this node and those that answered.
    pub async fn online(&self, user: &UserId) -> Vec<Online> {
        let mut online = self.online_here(user);
        for answer in self.bus.ask(user, Question::WhoIsOnline).await {
            if let Answer::Online(elsewhere) = answer {
                online.extend(elsewhere);
            }
        }
        online
    }

    /// Whether the other nodes' news comes.
    pub fn link(&self) -> Link {
        self.bus.link()
    }

    /// The users of one of [`SHARDS`] shards who are online here.
    pub fn users(&self, shard: usize) -> Vec<UserId> {
        let shard = self.shards.get(shard).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shard.map(|shard| shard.keys().cloned().collect()).unwrap_or_default()
    }
}

impl Listener for Hub {
    fn heard(&self, change: &Arc<Change>) {
        let Some(feed) = self.feed(&change.user_id) else { return };
        // Who has only just joined reads the store.
        let Some(epoch) = feed.epoch() else { return feed.raise(change.rev) };
        match Frame::of_change(epoch, change) {
            Ok(frame) if frame.packet.len() <= EVENT_BYTES => feed.push(frame),
            // The readers get it from the store, in parts.
            Ok(_) => feed.raise(change.rev),
            // The readers get it from the store, or fail there.
            Err(error) => {
                tracing::error!(user.id = %change.user_id, rev = change.rev, %error, "a change could not be encoded");
                feed.raise(change.rev);
            }
        }
    }

    fn raised(&self, user: &UserId, rev: Revision) {
        if let Some(feed) = self.feed(user) {
            feed.raise(rev);
        }
    }

    fn joined(&self, users: &[UserId]) {
        self.checks.want(users);
    }

    fn gap(&self) {
        self.checks.want_all();
    }

    fn asked(&self, user: &UserId, question: Question) -> Answer {
        match question {
            Question::WhoIsOnline => Answer::Online(self.online_here(user)),
            Question::EndSessions => Answer::Ended(self.end_here(user)),
        }
    }
}

/// A reader's place at its user's feed.
pub struct Seat {
    hub: Arc<Hub>,
    user: UserId,
    /// What it reads.
    pub feed: Arc<Feed>,
    /// Which reader it is.
    pub key: usize,
}

impl Seat {
    /// Whose feed it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut shard = self.hub.shard(&self.user);
        // Under the shard's lock nobody can join between the last reader's leaving and the feed's removal.
        if self.feed.leave(self.key) == 0 {
            shard.remove(&self.user);
            self.hub.bus.leave(&self.user);
        }
    }
}
