use crate::realtime::{Frame, feed::Feed};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidings_bus::{Bus, Listener};
use tidings_domain::{Change, DeviceId, Epoch, UserId};

const SHARDS: usize = 64;

type Shard = HashMap<UserId, Arc<Feed>>;

/// Who is online on this node: a feed for each user with at least one reader.
pub struct Hub {
    epoch: Epoch,
    bus: Arc<dyn Bus>,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
}

/// Too many of this user are online already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

impl Hub {
    /// An empty hub; `epoch` is the store's.
    pub fn new(epoch: Epoch, bus: Arc<dyn Bus>) -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Arc::new(Self { epoch, bus, hasher: RandomState::new(), shards })
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

    /// Ends all of the user's sessions on this node. Returns how many.
    pub fn end(&self, user: &UserId) -> usize {
        let feed = self.shard(user).get(user).cloned();
        feed.map_or(0, |feed| feed.end())
    }

    /// The user's devices that are online on this node.
    pub fn online(&self, user: &UserId) -> Vec<(DeviceId, &'static str)> {
        let feed = self.shard(user).get(user).cloned();
        feed.map(|feed| feed.online()).unwrap_or_default()
    }
}

impl Listener for Hub {
    fn heard(&self, change: &Arc<Change>) {
        let Some(feed) = self.shard(&change.user_id).get(&change.user_id).cloned() else { return };
        match Frame::of_change(&self.epoch, change) {
            Ok(frame) => feed.push(frame),
            // The readers get it from the store, or fail there.
            Err(error) => {
                tracing::error!(user.id = %change.user_id, rev = change.rev, %error, "a change could not be encoded");
                feed.raise(change.rev);
            }
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
    pub key: u64,
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
