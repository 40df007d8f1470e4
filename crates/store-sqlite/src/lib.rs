//! The embedded store: inboxes in one SQLite file.
//!
//! Who looks for an operation finds a file of its name. What holds them together:
//!
//! | | |
//! |---|---|
//! | `open`, `header`, `schema` | one process at a time; what is not ours, whole and of a known version is not touched |
//! | `writer`, `transaction` | one thread writes, in groups, and answers after the sync: the order and the durability |
//! | `state`, `expire` | what changes many rows, and the counters with them |
//! | `readers` | reads of one moment, beside the writer |
//! | `export`, `import`, `backup` | everything into another store, or a copy of this one |
//! | `checkpoint` | the write-ahead log is carried over beside both |
//!
//! **Durable before answered**: the log is synced by the commit, and callers are answered after it. **No revision is
//! visible before a smaller one**: one writer, one transaction after the other. **Counted exactly**: the counters are
//! columns of the inbox's row and change with what they count; what is due to expire is subtracted when it is read.

mod acknowledge;
mod append;
mod backup;
mod behind;
mod changes;
mod checkpoint;
mod counts;
mod devices;
mod edit;
mod expire;
mod export;
mod failure;
mod forget_connection;
mod header;
mod health;
mod import;
mod inbox;
mod locate;
mod mark;
mod note_resume;
mod notification;
mod number;
mod open;
mod options;
mod private;
mod probe;
mod reach_back;
mod readers;
mod recall;
mod register;
mod registration;
mod revoke;
mod rows;
mod schema;
mod state;
mod sweep;
#[cfg(test)]
mod tests;
mod transaction;
mod visit;
mod writer;

pub use backup::{backup, restore};
pub use export::export;
pub use import::import;
pub use open::OpenError;
pub use options::Options;

use async_trait::async_trait;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tidings_domain::{
    Clock, Counts, DeviceId, Epoch, Mark, Notification, NotificationId, Revision, Timestamp, UserId,
};
use tidings_store::{
    Appended, Changes, ChangesQuery, Device, Edit, Idempotency, InboxPage, InboxQuery, Located, Marked,
    Observer, Outgoing, Registration, Store, StoreError, Sweep, Swept, Visitors,
};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a check of readiness waits for a write.
const PROBE: Duration = Duration::from_secs(1);

/// Inboxes in one SQLite file.
pub struct SqliteStore {
    epoch: Epoch,
    clock: Arc<dyn Clock>,
    writer: writer::Writer,
    readers: Arc<readers::Readers>,
    visitors: Arc<Visitors>,
    health: Arc<health::Health>,
    tally: Arc<writer::Tally>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Its sender goes when the writer has ended.
    ended: watch::Receiver<()>,
    wait: Duration,
}

/// What the writer has done since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Transactions; each is synced once.
    pub commits: u64,
    /// Operations in them.
    pub operations: u64,
    /// How often the write-ahead log was started afresh.
    pub restarts: u64,
}

impl SqliteStore {
    /// Opens the store in `dir`, or makes one. It refuses what it must not touch, with one clear sentence; see
    /// [`OpenError`]. Blocks while the file is checked.
    pub fn open(
        dir: &Path,
        options: Options,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, OpenError> {
        open::open(dir, options, clock, observer)
    }

    /// What the writer has done.
    pub fn stats(&self) -> Stats {
        Stats {
            commits: self.tally.commits.load(Ordering::Relaxed),
            operations: self.tally.operations.load(Ordering::Relaxed),
            restarts: self.tally.restarts.load(Ordering::Relaxed),
        }
    }

    /// [`Store::counts`] on the calling thread; for measuring what the way to a reader's thread adds.
    #[doc(hidden)]
    pub fn counts_here(&self, user: &UserId) -> Result<Counts, StoreError> {
        let now = self.now();
        self.readers
            .snapshot(|conn| counts::counts(conn, user, None, now))
            .map_err(failure::Failure::into_store_error)
    }

    /// [`Store::inbox`] on the calling thread.
    #[doc(hidden)]
    pub fn inbox_here(&self, user: &UserId, query: &InboxQuery) -> Result<InboxPage, StoreError> {
        let now = self.now();
        self.readers
            .snapshot(|conn| inbox::inbox(conn, user, query, now))
            .map_err(failure::Failure::into_store_error)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for SqliteStore {
    /// Without [`Store::close`]: waits for the writer, so that who opens the store next finds it free.
    fn drop(&mut self) {
        self.readers.close();
        self.writer.close();
        if let Some(thread) = self.take_thread()
            && thread.join().is_err()
        {
            tracing::error!("the writer panicked");
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    async fn append(
        &self,
        outgoing: Vec<Outgoing>,
        idempotency: Option<Idempotency>,
    ) -> Result<Appended, StoreError> {
        self.writer.submit(append::Append::new(outgoing, idempotency)?).await
    }

    async fn edit(&self, id: NotificationId, edit: Edit) -> Result<Option<Notification>, StoreError> {
        self.writer.submit(edit::EditOne { id, edit }).await
    }

    async fn recall(&self, id: NotificationId) -> Result<bool, StoreError> {
        self.writer.submit(recall::Recall { id }).await
    }

    async fn mark(&self, user: &UserId, mark: Mark) -> Result<Marked, StoreError> {
        self.writer.submit(mark::MarkMany { user: user.clone(), mark }).await
    }

    async fn acknowledge(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        after: Revision,
        up_to: Revision,
    ) -> Result<Revision, StoreError> {
        let (user, device) = (user.clone(), device.cloned());
        self.writer.submit(acknowledge::Acknowledge { user, device, after, up_to }).await
    }

    async fn register(&self, user: &UserId, registration: Registration) -> Result<(), StoreError> {
        self.writer.submit(register::Register { user: user.clone(), registration }).await
    }

    async fn forget_connection(&self, user: &UserId, pid: &str) -> Result<(), StoreError> {
        let (user, pid) = (user.clone(), pid.to_owned());
        self.writer.submit(forget_connection::ForgetConnection { user, pid }).await
    }

    async fn note_resume(&self, user: &UserId, device: &DeviceId, note: String) -> Result<(), StoreError> {
        let (user, device) = (user.clone(), device.clone());
        self.writer.submit(note_resume::NoteResume { user, device, note }).await
    }

    async fn revoke(&self, user: &UserId, at: Timestamp) -> Result<(), StoreError> {
        self.writer.submit(revoke::Revoke { user: user.clone(), at }).await
    }

    async fn pull_back_revocations(
        &self,
        user: Option<&UserId>,
        ahead_of: Timestamp,
        to: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.submit(revoke::PullBack { user: user.cloned(), ahead_of, to }).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.writer.submit(sweep::Slice { sweep }).await
    }

    async fn first_answer(&self, idempotency: &Idempotency) -> Result<Option<Appended>, StoreError> {
        let (idempotency, now) = (idempotency.clone(), self.now());
        self.readers.read(move |conn| append::replay(conn, &idempotency, now)).await
    }

    async fn notification(&self, id: NotificationId) -> Result<Option<Notification>, StoreError> {
        let now = self.now();
        self.readers.read(move |conn| notification::notification(conn, id, now)).await
    }

    async fn inbox(&self, user: &UserId, query: InboxQuery) -> Result<InboxPage, StoreError> {
        let (user, now) = (user.clone(), self.now());
        self.readers.read(move |conn| inbox::inbox(conn, &user, &query, now)).await
    }

    async fn changes(&self, user: &UserId, query: ChangesQuery) -> Result<Changes, StoreError> {
        let (user, now) = (user.clone(), self.now());
        self.readers.read(move |conn| changes::changes(conn, &user, query, now)).await
    }

    async fn moved(
        &self,
        user: &UserId,
        since: Revision,
        up_to: Revision,
    ) -> Result<Vec<Revision>, StoreError> {
        let user = user.clone();
        self.readers.read(move |conn| changes::moved(conn, &user, since, up_to)).await
    }

    async fn counts(&self, user: &UserId, category: Option<&str>) -> Result<Counts, StoreError> {
        let (user, category, now) = (user.clone(), category.map(str::to_owned), self.now());
        self.readers.read(move |conn| counts::counts(conn, &user, category.as_deref(), now)).await
    }

    async fn locate(&self, user: &UserId, device: Option<&DeviceId>) -> Result<Located, StoreError> {
        let (user, device, now) = (user.clone(), device.cloned(), self.now());
        // Before the file is read: they become devices in the transaction that makes their inbox, and are forgotten here after.
        let visits = device.as_ref().is_some_and(|device| self.visitors.has(&user, device));
        self.readers.read(move |conn| locate::locate(conn, &user, device.as_ref(), visits, now)).await
    }

    async fn behind(&self, user: &UserId, since: Revision, cap: u64) -> Result<u64, StoreError> {
        let user = user.clone();
        self.readers.read(move |conn| behind::behind(conn, &user, since, cap)).await
    }

    async fn reach_back(&self, user: &UserId, reach: u64) -> Result<Revision, StoreError> {
        let user = user.clone();
        self.readers.read(move |conn| reach_back::reach_back(conn, &user, reach)).await
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, StoreError> {
        let user = user.clone();
        let visitors = self.visitors.of(&user);
        self.readers.read(move |conn| devices::devices(conn, &user, visitors)).await
    }

    async fn registration(&self, pid: &str) -> Result<Option<(UserId, DeviceId)>, StoreError> {
        let pid = pid.to_owned();
        self.readers.read(move |conn| registration::registration(conn, &pid)).await
    }

    async fn revoked_at(&self, user: &UserId) -> Result<Option<Timestamp>, StoreError> {
        let user = user.clone();
        self.readers.read(move |conn| revoke::revoked_at(conn, &user)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.writer.check()?;
        self.health.check_damage()?;
        if let Err(reason) = self.health.check() {
            // Nobody may send here until this says that all is well, so it must find out by itself. Who asks wants to
            // know soon.
            timeout(PROBE, self.writer.submit(probe::Probe)).await.map_err(|_| reason)??;
        }
        self.readers
            .read(|conn| Ok(conn.prepare_cached("SELECT 1 FROM meta")?.query_row([], |_| Ok(()))?))
            .await
    }

    async fn close(&self) {
        self.readers.close();
        self.writer.close();
        // An error says that the sender has gone, which is what is waited for.
        match timeout(self.wait, self.ended.clone().changed()).await {
            Ok(_) => {
                if self.take_thread().is_some_and(|thread| thread.join().is_err()) {
                    tracing::error!("the writer panicked");
                }
            }
            Err(_) => {
                // Nor will dropping the store wait any more.
                drop(self.take_thread());
                tracing::error!("the disk did not answer in time; the store ends without having closed");
            }
        }
    }
}
