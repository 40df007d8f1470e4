use crate::{Bus, Listener};
use std::sync::{Arc, OnceLock, Weak};
use tidings_domain::{Change, UserId};

/// The bus of a single node: news is heard where it was made, at once, in order.
#[derive(Default)]
pub struct LocalBus {
    listener: OnceLock<Weak<dyn Listener>>,
}

impl LocalBus {
    /// A bus that nobody listens to yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets who listens. Only the first call counts: a node has one hub.
    pub fn listen(&self, listener: Weak<dyn Listener>) {
        let _ = self.listener.set(listener);
    }
}

impl Bus for LocalBus {
    fn publish(&self, change: Arc<Change>) {
        if let Some(listener) = self.listener.get().and_then(Weak::upgrade) {
            listener.heard(&change);
        }
    }

    // A single node hears everything; the hub drops what nobody here waits for.
    fn join(&self, _: &UserId) {}
    fn leave(&self, _: &UserId) {}
}
