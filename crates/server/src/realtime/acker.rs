use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tidings_domain::{DeviceId, Revision, UserId};
use tidings_socketio::AckId;
use tidings_store::{Store, StoreError};

type Running = Pin<Box<dyn Future<Output = Result<Revision, StoreError>> + Send>>;

/// How many callbacks may wait for one acknowledgement to be stored.
const CALLBACKS: usize = 64;

/// Stores what a device confirmed, one write at a time: what comes meanwhile is merged, since acknowledgements are
/// cumulative. A busy device so costs a write a round trip, not a write a notification.
pub struct Acker {
    store: Arc<dyn Store>,
    user: UserId,
    device: DeviceId,
    running: Option<(Running, Wanted)>,
    next: Option<Wanted>,
}

struct Wanted {
    after: Revision,
    up_to: Revision,
    callbacks: Vec<AckId>,
}

/// What became of one write, and who waits to hear of it.
pub struct Done {
    /// What the device has confirmed now.
    pub result: Result<Revision, StoreError>,
    /// Who waits.
    pub callbacks: Vec<AckId>,
}

impl Acker {
    /// For one attached device.
    pub fn new(store: Arc<dyn Store>, user: UserId, device: DeviceId) -> Self {
        Self { store, user, device, running: None, next: None }
    }

    /// What is above `after` and up to `up_to` has arrived. Returns whether this takes a write; otherwise it was merged
    /// with what waits for its write already.
    pub fn confirm(&mut self, after: Revision, up_to: Revision, callback: Option<AckId>) -> bool {
        let merged = self.next.is_some();
        let next = self.next.get_or_insert_with(|| Wanted { after, up_to, callbacks: Vec::new() });
        next.after = next.after.min(after);
        next.up_to = next.up_to.max(up_to);
        next.callbacks.extend(callback);
        self.start();
        !merged
    }

    fn start(&mut self) {
        if self.running.is_none()
            && let Some(wanted) = self.next.take()
        {
            let (store, user, device) = (self.store.clone(), self.user.clone(), self.device.clone());
            let (after, up_to) = (wanted.after, wanted.up_to);
            let write = async move { store.acknowledge(&user, Some(&device), after, up_to).await };
            self.running = Some((Box::pin(write), wanted));
        }
    }

    /// Whether it can take more callbacks. Where it cannot, a write is under way, and there is room when that is done.
    pub fn has_room(&self) -> bool {
        self.next.as_ref().is_none_or(|next| next.callbacks.len() < CALLBACKS)
    }

    /// Whether a write is under way.
    pub fn is_writing(&self) -> bool {
        self.running.is_some()
    }

    /// Waits for the write under way; forever when there is none. Safe to drop while it waits.
    pub async fn done(&mut self) -> Done {
        let Some((write, _)) = &mut self.running else { return std::future::pending().await };
        let result = write.await;
        let callbacks =
            self.running.take().map(|(_, wanted)| self.settle(wanted, &result)).unwrap_or_default();
        Done { result, callbacks }
    }

    fn settle(&mut self, wanted: Wanted, result: &Result<Revision, StoreError>) -> Vec<AckId> {
        match result {
            Err(StoreError::Unavailable(_)) => {
                // It did arrive: said again with the next one. Not at once, which would be a hot loop.
                let next = self.next.get_or_insert_with(|| Wanted { callbacks: Vec::new(), ..wanted });
                next.after = next.after.min(wanted.after);
                next.up_to = next.up_to.max(wanted.up_to);
                // Whoever asked since then is owed an answer of his own.
                if !next.callbacks.is_empty() {
                    self.start();
                }
            }
            _ => self.start(),
        }
        wanted.callbacks
    }

    /// Stores what is left, when the device has gone.
    pub async fn finish(mut self) {
        self.start();
        while self.running.is_some() {
            let done = self.done().await;
            if let Err(error) = done.result {
                // Not lost for good: the device says it again when it returns.
                tracing::warn!(user.id = %self.user, %error, "what a device confirmed as it left could not be stored");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::captured;
    use tidings_domain::{Content, NotificationId, SystemClock};
    use tidings_store::{Outgoing, Silent};
    use tidings_store_sqlite::{Options, SqliteStore};

    /// One of an inbox with three notifications.
    async fn acker(folder: &tempfile::TempDir) -> Acker {
        let store =
            SqliteStore::open(folder.path(), Options::default(), Arc::new(SystemClock), Arc::new(Silent));
        let (store, user) = (Arc::new(store.unwrap()), UserId::new("ana").unwrap());
        let content = Arc::new(Content::text("hello"));
        let one = || Outgoing {
            user_id: user.clone(),
            id: NotificationId::new(uuid::Uuid::now_v7()),
            content: content.clone(),
            expires_at: None,
            collapse_key: None,
        };
        store.append(vec![one(), one(), one()], None).await.unwrap();
        Acker::new(store, user, DeviceId::new("phone").unwrap())
    }

    #[tokio::test]
    async fn what_comes_while_one_is_stored_takes_one_write() {
        let folder = tempfile::tempdir().unwrap();
        let mut acker = acker(&folder).await;
        assert!(acker.confirm(0, 1, None), "the first is written at once");
        assert!(acker.confirm(0, 3, Some(AckId(1))), "the second waits for it");
        assert!(!acker.confirm(0, 2, Some(AckId(2))), "the third is merged with the second");
        let first = acker.done().await;
        assert_eq!((first.result, first.callbacks), (Ok(1), vec![]));
        let second = acker.done().await;
        assert_eq!((second.result, second.callbacks), (Ok(3), vec![AckId(1), AckId(2)]));
        assert!(!acker.is_writing());
    }

    #[tokio::test]
    async fn without_room_for_callbacks_a_write_is_under_way_that_makes_some() {
        let folder = tempfile::tempdir().unwrap();
        let mut acker = acker(&folder).await;
        acker.confirm(0, 1, None);
        let asked = (0..).map(AckId).take_while(|id| {
            acker.confirm(0, 2, Some(*id));
            acker.has_room()
        });
        let asked = asked.count() + 1;
        assert!(acker.is_writing());
        assert!(acker.done().await.callbacks.is_empty());
        assert!(acker.has_room());
        assert_eq!(acker.done().await.callbacks.len(), asked, "every callback is answered");
    }

    #[tokio::test]
    async fn what_cannot_be_stored_as_a_device_leaves_is_logged_with_its_user() {
        let (log, _capturing) = captured();
        let folder = tempfile::tempdir().unwrap();
        let (clock, observer) = (Arc::new(SystemClock), Arc::new(Silent));
        let store = Arc::new(SqliteStore::open(folder.path(), Options::default(), clock, observer).unwrap());
        store.close().await;
        let user = UserId::new("ana").unwrap();
        let mut acker = Acker::new(store, user, DeviceId::new("phone").unwrap());
        acker.confirm(0, 7, None);
        acker.finish().await;
        assert_eq!(log.text().matches("could not be stored").count(), 1, "{}", log.text());
        assert!(log.text().contains("user.id=ana"), "{}", log.text());
    }
}
