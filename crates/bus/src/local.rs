use crate::{Answer, Bus, Link, Listener, Question};
use async_trait::async_trait;
use std::sync::{Arc, OnceLock, Weak};
use tidings_domain::{Change, Epoch, UserId};

/// The bus of a single node: news is heard where it was made, at once, in order.
pub struct LocalBus {
    listener: OnceLock<Weak<dyn Listener>>,
    link: Link,
}

impl LocalBus {
    /// A bus that nobody listens to yet. `link`: [`Link::Alone`] where nobody else can write to the store, [`Link::Up`] where
    /// somebody may, so that it is looked at now and then.
    pub fn new(link: Link) -> Self {
        Self { listener: OnceLock::new(), link }
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn listen(&self, _: &Epoch, listener: Weak<dyn Listener>) {
        let _ = self.listener.set(listener);
    }

    fn publish(&self, change: Arc<Change>) {
        if let Some(listener) = self.listener.get().and_then(Weak::upgrade) {
            listener.heard(&change);
        }
    }

    // A single node hears everything; the hub drops what nobody here waits for.
    fn join(&self, _: &UserId) {}
    fn leave(&self, _: &UserId) {}

    async fn ask(&self, _: &UserId, _: Question) -> Vec<Answer> {
        Vec::new()
    }

    fn link(&self) -> Link {
        self.link
    }
}
