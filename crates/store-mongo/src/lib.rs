//! The store for those who outgrow one machine: inboxes in MongoDB.
//!
//! Who looks for an operation finds a file of its name. What holds them together:
//!
//! | | |
//! |---|---|
//! | `open`, `schema`, `lease` | what is not ours or not safe is refused with one sentence; the indexes |
//! | `documents`, `query`, `writes` | what lies in the database, and the only ways to it |
//! | `turns`, `send` | writers of one inbox take turns; simple sends that wait are one request |
//! | `operation`, `draft`, `tx`, `journal` | everything else: thought out, then written whole or not at all |
//! | `export`, `import` | everything of a store out, and into a new one |
//! | `original`, `originals` | the original system's collection, taken over |
//! | `heads` | what a node remembers, so that a send needs no question before it |
//!
//! # Why no revision is visible before a smaller one
//!
//! A revision of an inbox *is* a document: the notification that it created, or a note of what was done. Its key is
//! `(user_id, revision)`, which is unique, and it carries the inbox's numbers right after it. There is no counter beside it
//! that could be ahead of what it counts.
//!
//! - **Taking a number.** A writer looks for the newest revision *h*, thinks out what comes after it, and inserts *h + 1*.
//!   Of several, on whatever nodes, the unique index lets one through; the others look again. So *h + 1* is only ever
//!   inserted by somebody who knew *h* to be durable: he read it from a majority, or had written it to one.
//! - **Seeing it.** Readers read what a majority has. MongoDB's replication log is one sequence, and a majority has it up to
//!   some point: whoever sees *h + 1* there sees *h*, which was inserted before.
//! - **More than one document.** A send of one notification is one insertion. What touches more documents is a transaction,
//!   so that its revisions and what they changed are visible together. What it reads is of the same transaction and not
//!   older than the head that it builds on, which was known before it began; and had somebody else changed the inbox since,
//!   then *h + 1* would be taken. So it needs no lock. (Without transactions: `journal`.)
//! - **Several sends in one request** are a row of insertions. Those of one inbox are inserted in order, and nothing of it
//!   after one that failed.
//! - **Crashes and retries.** An insertion happens or does not. One of which the answer was lost is looked for by its id
//!   before it is tried again, and could not be stored twice, since ids are unique too. Where nobody is left to try, it is
//!   found by its readers: news is a hint.
//!
//! **Durable before answered**: written with `w: majority, j: true`. **Counted exactly**: the numbers stand in the
//! revision's own document. **One shard**: everything of one inbox lies under the shard key `user_id` in one collection.
//! Sends to several inboxes, and idempotency keys, are transactions over as many shards as they touch.

mod acknowledge;
mod append;
mod behind;
mod changes;
mod counts;
mod devices;
mod documents;
mod draft;
mod edit;
mod expire;
mod export;
mod failure;
mod forget_connection;
mod heads;
mod import;
mod inbox;
mod journal;
mod lease;
mod locate;
mod mark;
mod mongo;
mod notification;
mod open;
mod operation;
mod original;
mod originals;
mod query;
mod reach_back;
mod recall;
mod register;
mod revoke;
mod schema;
mod send;
mod sweep;
#[cfg(test)]
mod tests;
mod turns;
mod tx;
mod visit;
mod writes;

pub use export::export;
pub use import::{ImportFrom, import};
pub use open::{OpenError, Options};
pub use originals::{Originals, TakenOver};

use acknowledge::Acknowledge;
use async_trait::async_trait;
use failure::Failure;
use mongo::Mongo;
use operation::{Operation, perform};
use std::sync::Arc;
use tidings_domain::{
    Clock, Counts, DeviceId, Epoch, Mark, Notification, NotificationId, Revision, Timestamp, UserId,
};
use tidings_store::{
    Appended, Changes, ChangesQuery, Device, Edit, Idempotency, InboxPage, InboxQuery, Located, Marked,
    Observer, Outgoing, Registration, Store, StoreError, Sweep, Swept,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use turns::{Turns, Waiting};

/// Inboxes in a MongoDB database.
pub struct MongoStore {
    epoch: Epoch,
    mongo: Arc<Mongo>,
    turns: Arc<Turns>,
    acks: acknowledge::Queue,
    groups: JoinHandle<()>,
}

impl MongoStore {
    /// Opens the store at `uri`, and makes what is missing there. It refuses what it must not touch, with one clear sentence;
    /// see [`OpenError`].
    pub async fn open(
        uri: &str,
        options: Options,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, OpenError> {
        open::open(uri, options, clock, observer).await
    }

    /// Does it on a task of its own, so that it ends well also where its caller does not wait any more.
    async fn perform<O: Operation>(&self, operation: O) -> Result<O::Answer, StoreError> {
        let (mongo, turns) = (self.mongo.clone(), self.turns.clone());
        let done = tokio::spawn(async move {
            let turn = turns.alone(operation.users(), mongo.patience).await?;
            perform(&mongo, &operation, &turn).await
        });
        done.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a write was given up".to_owned())))
    }

    async fn read<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        self.turns.check()?;
        self.mongo.patiently(attempt).await
    }
}

/// Writes the sends that wait, group by group, for as long as the store lives.
pub(crate) async fn write_groups(mongo: Arc<Mongo>, turns: Arc<Turns>) {
    loop {
        turns.ready().await;
        while let Some(group) = turns.group() {
            let mongo = mongo.clone();
            tokio::spawn(async move { send::send(&mongo, group).await });
        }
    }
}

impl Drop for MongoStore {
    fn drop(&mut self) {
        self.groups.abort();
    }
}

#[async_trait]
impl Store for MongoStore {
    fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    async fn append(
        &self,
        mut outgoing: Vec<Outgoing>,
        idempotency: Option<Idempotency>,
    ) -> Result<Appended, StoreError> {
        let now = self.mongo.now();
        let simple = outgoing.pop_if(|one| idempotency.is_none() && send::is_simple(one, now));
        match simple {
            Some(one) if outgoing.is_empty() => {
                let (answer, answered) = oneshot::channel();
                self.turns.send(Waiting { outgoing: one, answer })?;
                Ok(Appended::Stored(vec![self.mongo.answer(answered).await?]))
            }
            last => {
                outgoing.extend(last);
                self.perform(append::Append { outgoing, idempotency }).await
            }
        }
    }

    async fn edit(&self, id: NotificationId, edit: Edit) -> Result<Option<Notification>, StoreError> {
        match self.read(|| notification::owner(&self.mongo, id)).await? {
            Some(user) => self.perform(edit::EditOne { user, id, edit }).await,
            None => Ok(None),
        }
    }

    async fn recall(&self, id: NotificationId) -> Result<bool, StoreError> {
        match self.read(|| notification::owner(&self.mongo, id)).await? {
            Some(user) => self.perform(recall::Recall { user, id }).await,
            None => Ok(false),
        }
    }

    async fn mark(&self, user: &UserId, mark: Mark) -> Result<Marked, StoreError> {
        self.perform(mark::MarkMany { user: user.clone(), mark }).await
    }

    async fn acknowledge(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        after: Revision,
        up_to: Revision,
    ) -> Result<Revision, StoreError> {
        self.turns.check()?;
        let (answer, answered) = oneshot::channel();
        let (user, device) = (user.clone(), device.cloned());
        self.acks.push(Acknowledge { user, device, after, up_to, answer })?;
        self.mongo.answer(answered).await
    }

    async fn register(&self, user: &UserId, registration: Registration) -> Result<(), StoreError> {
        self.read(|| register::register(&self.mongo, user, &registration)).await
    }

    async fn forget_connection(&self, user: &UserId, pid: &str) -> Result<(), StoreError> {
        self.read(|| forget_connection::forget_connection(&self.mongo, user, pid)).await
    }

    async fn note_resume(&self, user: &UserId, device: &DeviceId, note: String) -> Result<(), StoreError> {
        self.read(|| register::note_resume(&self.mongo, user, device, &note)).await
    }

    async fn revoke(&self, user: &UserId, at: Timestamp) -> Result<(), StoreError> {
        self.read(|| revoke::revoke(&self.mongo, user, at)).await
    }

    async fn pull_back_revocations(
        &self,
        user: Option<&UserId>,
        ahead_of: Timestamp,
        to: Timestamp,
    ) -> Result<(), StoreError> {
        self.read(|| revoke::pull_back(&self.mongo, user, ahead_of, to)).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.turns.check()?;
        sweep::sweep(&self.mongo, &self.turns, sweep).await
    }

    async fn first_answer(&self, idempotency: &Idempotency) -> Result<Option<Appended>, StoreError> {
        self.read(|| append::first_answer(&self.mongo, idempotency)).await
    }

    async fn notification(&self, id: NotificationId) -> Result<Option<Notification>, StoreError> {
        self.read(|| notification::notification(&self.mongo, id)).await
    }

    async fn inbox(&self, user: &UserId, query: InboxQuery) -> Result<InboxPage, StoreError> {
        self.read(|| inbox::inbox(&self.mongo, user, &query)).await
    }

    async fn changes(&self, user: &UserId, query: ChangesQuery) -> Result<Changes, StoreError> {
        self.read(|| changes::changes(&self.mongo, user, query)).await
    }

    async fn moved(
        &self,
        user: &UserId,
        since: Revision,
        up_to: Revision,
    ) -> Result<Vec<Revision>, StoreError> {
        self.read(|| changes::moved(&self.mongo, user, since, up_to)).await
    }

    async fn counts(&self, user: &UserId, category: Option<&str>) -> Result<Counts, StoreError> {
        self.read(|| counts::counts(&self.mongo, user, category)).await
    }

    async fn locate(&self, user: &UserId, device: Option<&DeviceId>) -> Result<Located, StoreError> {
        self.read(|| locate::locate(&self.mongo, user, device)).await
    }

    async fn heads(&self, users: &[UserId]) -> Result<Vec<Revision>, StoreError> {
        self.read(|| locate::heads(&self.mongo, users)).await
    }

    async fn behind(&self, user: &UserId, since: Revision, cap: u64) -> Result<u64, StoreError> {
        self.read(|| behind::behind(&self.mongo, user, since, cap)).await
    }

    async fn reach_back(&self, user: &UserId, reach: u64) -> Result<Revision, StoreError> {
        self.read(|| reach_back::reach_back(&self.mongo, user, reach)).await
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, StoreError> {
        self.read(|| devices::devices(&self.mongo, user)).await
    }

    async fn registration(&self, pid: &str) -> Result<Option<(UserId, DeviceId)>, StoreError> {
        self.read(|| register::registration(&self.mongo, pid)).await
    }

    async fn revoked_at(&self, user: &UserId) -> Result<Option<Timestamp>, StoreError> {
        self.read(|| revoke::revoked_at(&self.mongo, user)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.turns.check()?;
        if self.groups.is_finished() || self.acks.has_ended() {
            return Err(StoreError::Unavailable(
                "a task that writes has failed; the log says why".to_owned(),
            ));
        }
        self.mongo.ready().await.map_err(Failure::into_store_error)
    }

    async fn close(&self) {
        self.turns.close().await;
        self.acks.close().await;
        if !self.mongo.has_transactions {
            self.mongo.return_lease().await;
        }
    }
}
