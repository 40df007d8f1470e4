//! How the nodes of a cluster tell each other that an inbox has a new revision, and ask each other who is online.
//!
//! **At most once, by contract.** A bus may lose, double or reorder news: it says "there is something to read", the store
//! says what. A listener therefore takes what continues from where it stands and reads the rest from the store. What a bus
//! must not do is lose news in silence for long: whoever may have missed some is told ([`Listener::joined`],
//! [`Listener::gap`]) and looks in the store. [`RedisBus`]'s page says when that is.

mod local;
mod question;
mod redis;

pub use self::redis::{Options, RedisBus, RedisUrl, RedisUrlError, Stats};
pub use local::LocalBus;
pub use question::{Answer, Online, Question};

use async_trait::async_trait;
use std::sync::{Arc, Weak};
use tidings_domain::{Change, Epoch, Revision, UserId};

/// Carries news between nodes.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sets who listens, and begins. `epoch` is the store's: news of another is none of ours. Only the first call counts:
    /// a node has one hub.
    fn listen(&self, epoch: &Epoch, listener: Weak<dyn Listener>);

    /// Tells every node that holds the user, this one included (and first). Never blocks, never fails: news that cannot be
    /// carried is lost, and costs its readers time only. Call it strictly after the change is durable.
    fn publish(&self, change: Arc<Change>);

    /// This node holds a socket of the user: its news is wanted. Does not wait until it flows: [`Listener::joined`].
    fn join(&self, user: &UserId);

    /// This node holds none any more.
    fn leave(&self, user: &UserId);

    /// Asks the other nodes that hold the user. Waits a quarter of a second at most, unless it is told otherwise; who has
    /// not answered by then, or cannot be reached, is left out.
    async fn ask(&self, user: &UserId, question: Question) -> Vec<Answer>;

    /// Whether news flows.
    fn link(&self) -> Link;
}

/// How a node stands to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// There are no others.
    Alone,
    /// News flows.
    Up,
    /// News of the others does not come; theirs is to be looked for in the store.
    Down,
}

/// Where news arrives at a node. Called by the bus: must be quick and must not block.
pub trait Listener: Send + Sync + 'static {
    /// `change` happened, perhaps long ago, perhaps not for the first time.
    fn heard(&self, change: &Arc<Change>);

    /// Something happened up to `rev`; what it was stands in the store.
    fn raised(&self, user: &UserId, rev: Revision);

    /// The news of these users flows from now on. What was committed before may have been missed.
    fn joined(&self, users: &[UserId]);

    /// Anybody's news may have been missed, or is being missed: the bus went down, is back, or another node says that it
    /// could not tell all of its news.
    fn gap(&self);

    /// Another node asks.
    fn asked(&self, user: &UserId, question: Question) -> Answer;
}
