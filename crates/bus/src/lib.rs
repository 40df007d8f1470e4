//! How the nodes of a cluster tell each other that an inbox has a new revision.
//!
//! **At most once, by contract.** A bus may lose, double or reorder news: it says "there is something to read", the store
//! says what. A listener therefore takes what continues from where it stands and reads the rest from the store.

mod local;

pub use local::LocalBus;

use std::sync::Arc;
use tidings_domain::{Change, UserId};

/// Carries news between nodes.
pub trait Bus: Send + Sync + 'static {
    /// Tells every node that holds the user, this one included. Never blocks, never fails: news that cannot be carried
    /// is lost, and costs its readers time only. Call it strictly after the change is durable.
    fn publish(&self, change: Arc<Change>);

    /// This node holds a socket of the user: its news is wanted.
    fn join(&self, user: &UserId);

    /// This node holds none any more.
    fn leave(&self, user: &UserId);
}

/// Where news arrives at a node. Called by the bus: must be quick and must not block.
pub trait Listener: Send + Sync + 'static {
    /// `change` happened, perhaps long ago, perhaps not for the first time.
    fn heard(&self, change: &Arc<Change>);
}
