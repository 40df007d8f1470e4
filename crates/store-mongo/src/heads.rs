use crate::documents::Head;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidings_domain::UserId;
use tidings_store::Recent;

/// How many inboxes' are remembered; one costs about 150 bytes.
const INBOXES: usize = 100_000;

/// The newest revision of each inbox, as far as this node knows.
///
/// Another node may have come further. That costs a writer one attempt more, since the revision that it wants is taken,
/// and a reader nothing: it looks from there on.
#[derive(Debug)]
pub(crate) struct Heads(Mutex<Recent<UserId, Head>>);

impl Default for Heads {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(INBOXES)))
    }
}

impl Heads {
    fn lock(&self) -> MutexGuard<'_, Recent<UserId, Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, user: &UserId) -> Option<Head> {
        self.lock().get(user).map(|head| *head)
    }

    /// Learns of a head; an older one than is known changes nothing.
    pub(crate) fn learn(&self, user: &UserId, head: Head) {
        let mut heads = self.lock();
        let known = heads.get_or_insert_with(user, || head);
        if head.rev >= known.rev {
            *known = head;
        }
    }

    /// It turned out to be wrong, or may have.
    pub(crate) fn forget(&self, user: &UserId) {
        self.lock().remove(user);
    }
}
