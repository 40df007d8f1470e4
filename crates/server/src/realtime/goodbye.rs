use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidings_domain::UserId;
use tidings_store::Store;
use tokio::sync::Notify;

/// The connections whose clients said goodbye, until the store has forgotten whom they were registered for.
///
/// A client may say goodbye and connect again at once, for another user. Its new connection waits here, so that it does not
/// find the registration that is about to go. (A new connection to another node could still find it, if it is faster
/// than the store.)
#[derive(Debug, Default)]
pub struct Goodbyes {
    leaving: Mutex<HashSet<String>>,
    done: Notify,
}

impl Goodbyes {
    fn leaving(&self) -> MutexGuard<'_, HashSet<String>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets that the connection `pid` was registered for this user. The device stays known, with what it confirmed.
    pub async fn forget(&self, store: &dyn Store, user: &UserId, pid: &str) {
        self.leaving().insert(pid.to_owned());
        if let Err(error) = store.forget_connection(user, pid).await {
            tracing::warn!(%error, "a client that said goodbye may find its registration again: it could not be forgotten");
        }
        self.leaving().remove(pid);
        self.done.notify_waiters();
    }

    /// Waits until what is being forgotten of `pid` is forgotten.
    pub async fn settled(&self, pid: &str) {
        loop {
            let done = self.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            if !self.leaving().contains(pid) {
                return;
            }
            done.await;
        }
    }
}
