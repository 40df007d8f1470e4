use crate::documents::Head;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidings_domain::UserId;

/// Past this many inboxes it starts afresh; one costs about 150 bytes.
const INBOXES: usize = 100_000;

/// The newest revision of each inbox, as far as this node knows.
///
/// Another node may have come further. That costs a writer one attempt more, since the revision that it wants is taken,
/// and a reader nothing: it looks from there on.
#[derive(Debug, Default)]
pub(crate) struct Heads(Mutex<HashMap<UserId, Head>>);

impl Heads {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Head>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, user: &UserId) -> Option<Head> {
        self.lock().get(user).copied()
    }

    /// Learns of a head; an older one than is known changes nothing.
    pub(crate) fn learn(&self, user: &UserId, head: Head) {
        let mut heads = self.lock();
        if heads.len() >= INBOXES {
            heads.clear();
        }
        match heads.get_mut(user) {
            Some(known) if known.rev > head.rev => {}
            Some(known) => *known = head,
            None => {
                heads.insert(user.clone(), head);
            }
        }
    }

    /// It turned out to be wrong, or may have.
    pub(crate) fn forget(&self, user: &UserId) {
        self.lock().remove(user);
    }
}
