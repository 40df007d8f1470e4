//! Upkeep, a slice at a time. Every inbox is an operation of its own, and takes its turn like any other.

use crate::documents::{
    IDEMPOTENCY, INBOXES, META, PROGRESS, REGISTRATIONS, bound, date, number, user, uuid,
};
use crate::draft::{Draft, Found};
use crate::expire::{Expire, expire};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::operation::{Operation, Plan, perform};
use crate::query::Query;
use crate::register;
use crate::schema::{BEGINNING, DELETED, DUE, ID, Index, KEY_AGE, LOG, SEEN, STEPPED, VISITED};
use crate::turns::Turns;
use crate::tx::Tx;
use crate::writes::Writes;
use async_trait::async_trait;
use mongodb::bson::{Bson, DateTime, Document, Uuid, doc};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use tidings_domain::{MarkOp, NotificationId, Timestamp, UserId};
use tidings_store::{IDEMPOTENCY_TTL, StoreError, Sweep, Swept};

/// The document of [`META`] that says up to which id retention has come.
const RETIRED: &str = "retired";

/// One slice. It ends when it has touched about as many documents as it may.
pub(crate) async fn sweep(mongo: &Mongo, turns: &Arc<Turns>, sweep: Sweep) -> Result<Swept, StoreError> {
    let now = mongo.now();
    let mut slice = Slice {
        mongo,
        turns,
        now,
        cutoff: now.before(sweep.retention),
        room: bound(sweep.limit.max(1) as u64),
        swept: Swept::default(),
    };
    slice.expired().await?;
    slice.retired().await?;
    slice.purged().await?;
    slice.stepped().await?;
    slice.devices().await?;
    slice
        .aged(
            IDEMPOTENCY,
            KEY_AGE,
            "created_at",
            now.before(IDEMPOTENCY_TTL).after(std::time::Duration::from_millis(1)),
        )
        .await?;
    slice.aged(REGISTRATIONS, VISITED, "visited_at", slice.cutoff).await?;
    mongo.visitors.forget_before(slice.cutoff);
    slice.swept.more = slice.room <= 0;
    Ok(slice.swept)
}

struct Slice<'a> {
    mongo: &'a Mongo,
    turns: &'a Arc<Turns>,
    now: Timestamp,
    cutoff: Timestamp,
    /// How many documents may still be touched.
    room: i64,
    swept: Swept,
}

#[derive(Deserialize)]
struct OfUser {
    user_id: String,
    key: i64,
}

#[derive(Deserialize)]
struct Old {
    #[serde(rename = "_id")]
    id: Uuid,
    user_id: String,
    /// Absent: of a tombstone that was removed, but is the newest of its inbox.
    #[serde(default)]
    created_at: Option<DateTime>,
    #[serde(default)]
    deleted_at: Option<DateTime>,
}

#[derive(Deserialize)]
struct Tombstone {
    user_id: String,
    key: i64,
    rev: i64,
}

#[derive(Deserialize)]
struct Unseen {
    user_id: String,
    device_id: String,
}

#[derive(Deserialize)]
struct Retired {
    id: Uuid,
}

#[derive(Deserialize)]
struct Aged {
    #[serde(rename = "_id")]
    id: Bson,
}

impl Slice<'_> {
    async fn all<T: crate::query::Found>(&self, query: Query) -> Result<Vec<T>, StoreError> {
        self.mongo.patiently(|| query.clone().all(self.mongo)).await
    }

    async fn perform<O: Operation>(&self, operation: &O) -> Result<O::Answer, StoreError> {
        let turn = self.turns.alone(operation.users(), self.mongo.patience).await?;
        perform(self.mongo, operation, &turn).await
    }

    /// One inbox that is damaged does not keep the others from being looked after: it is left out, which is said once.
    fn of_one<T>(&self, name: &str, done: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match done {
            Err(StoreError::Damaged(reason)) => {
                let mut told = self.mongo.left_out.lock().unwrap_or_else(PoisonError::into_inner);
                if told.get(&name.to_owned()).is_none() {
                    told.insert(&name.to_owned(), ());
                    tracing::error!(user.id = name, reason, "the upkeep leaves out an inbox that is damaged");
                }
                Ok(None)
            }
            done => done.map(Some),
        }
    }

    /// What is due to expire: inbox by inbox, each whole, since a revision is never cut.
    async fn expired(&mut self) -> Result<(), StoreError> {
        let filter = doc! { "expires_at": { "$gt": BEGINNING, "$lte": date(self.now) } };
        let query = Query::new(INBOXES, DUE, filter).fields(doc! { "user_id": 1, "key": 1 });
        let due: Vec<OfUser> = self.all(query.sort(doc! { "expires_at": 1 }).limit(self.room)).await?;
        let mut users: Vec<String> = due.into_iter().map(|one| one.user_id).collect();
        users.dedup();
        users.sort_unstable();
        users.dedup();
        for name in users {
            let done = match user(&name) {
                Ok(user) => self.perform(&Expire { user }).await,
                Err(failure) => Err(failure.into_store_error()),
            };
            let gone = self.of_one(&name, done)?.unwrap_or(0);
            self.swept.expired += gone;
            self.room -= bound(gone.max(1));
        }
        Ok(())
    }

    /// What is older than retention, archived or not. Ids begin with the time at which they were made, so this walks
    /// them once and remembers how far it has come.
    async fn retired(&mut self) -> Result<(), StoreError> {
        if self.room <= 0 {
            return Ok(());
        }
        let reached = Query::new(META, ID, doc! { "_id": RETIRED });
        let reached: Option<Retired> = self.all(reached).await?.pop();
        let reached = reached.map_or(Uuid::from_bytes([0; 16]), |reached| reached.id);
        let filter = doc! { "_id": { "$gt": reached, "$lt": first_id_of(self.cutoff) } };
        let query = Query::new(INBOXES, ID, filter)
            .along_the_index()
            .fields(doc! { "user_id": 1, "created_at": 1, "deleted_at": 1 })
            .sort(doc! { "_id": 1 })
            .limit(self.room);
        let old: Vec<Old> = self.all(query).await?;
        let mut inboxes: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
        let mut last = None;
        for one in old.into_iter().take_while(|one| one.created_at.is_none_or(|at| at < date(self.cutoff))) {
            last = Some(one.id);
            self.room -= 1;
            if one.created_at.is_some() && one.deleted_at.is_none() {
                inboxes.entry(one.user_id).or_default().push(one.id);
            }
        }
        for (name, ids) in inboxes {
            let done = match user(&name) {
                Ok(user) => self.perform(&Retire { user, ids }).await,
                Err(failure) => Err(failure.into_store_error()),
            };
            let (expired, retired) = self.of_one(&name, done)?.unwrap_or((0, 0));
            self.swept.expired += expired;
            self.swept.retired += retired;
        }
        let Some(last) = last else { return Ok(()) };
        let done = doc! { "q": { "_id": RETIRED }, "u": { "$max": { "id": last } }, "upsert": true };
        self.update(META, done).await
    }

    /// Tombstones older than retention.
    async fn purged(&mut self) -> Result<(), StoreError> {
        if self.room <= 0 {
            return Ok(());
        }
        let filter = doc! { "deleted_at": { "$gt": BEGINNING, "$lt": date(self.cutoff) } };
        let query = Query::new(INBOXES, DELETED, filter)
            .fields(doc! { "user_id": 1, "key": 1, "rev": 1 })
            .sort(doc! { "deleted_at": 1 })
            .limit(self.room);
        let old: Vec<Tombstone> = self.all(query).await?;
        let mut inboxes: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
        for one in old {
            inboxes.entry(one.user_id).or_default().push((one.key, one.rev));
        }
        for (name, tombstones) in inboxes {
            let count = tombstones.len() as u64;
            let done = match user(&name) {
                Ok(user) => self.perform(&Purge { user, tombstones, cutoff: self.cutoff }).await,
                Err(failure) => Err(failure.into_store_error()),
            };
            let is_purged = self.of_one(&name, done)?.is_some();
            self.swept.purged += if is_purged { count } else { 0 };
            self.room -= bound(count);
        }
        Ok(())
    }

    /// Revisions that were not new notifications: of use only as the newest one of their inbox.
    async fn stepped(&mut self) -> Result<(), StoreError> {
        if self.room <= 0 {
            return Ok(());
        }
        let filter = doc! { "stepped_at": { "$gt": BEGINNING, "$lt": date(self.cutoff) } };
        let query = Query::new(INBOXES, STEPPED, filter)
            .fields(doc! { "user_id": 1, "key": 1 })
            .sort(doc! { "stepped_at": 1 })
            .limit(self.room);
        let old: Vec<OfUser> = self.all(query).await?;
        let mongo = self.mongo;
        for one in old {
            self.room -= 1;
            let head = match user(&one.user_id) {
                Ok(user) => mongo.patiently(|| mongo.head(&user)).await,
                Err(failure) => Err(failure.into_store_error()),
            };
            let Some(head) = self.of_one(&one.user_id, head)? else { continue };
            let place = doc! { "user_id": &one.user_id, "key": one.key };
            if number(one.key) < head.rev {
                self.delete(INBOXES, doc! { "q": place, "limit": 1 }).await?;
            } else {
                // Looked at again when it is old once more.
                let again = doc! { "$set": { "stepped_at": date(self.now) } };
                self.update(INBOXES, doc! { "q": place, "u": again }).await?;
            }
        }
        Ok(())
    }

    /// Devices that were not seen for as long as notifications are kept.
    async fn devices(&mut self) -> Result<(), StoreError> {
        if self.room <= 0 {
            return Ok(());
        }
        let filter = doc! { "last_seen_at": { "$gt": BEGINNING, "$lt": date(self.cutoff) } };
        let query = Query::new(INBOXES, SEEN, filter)
            .fields(doc! { "user_id": 1, "device_id": 1 })
            .sort(doc! { "last_seen_at": 1 })
            .limit(self.room);
        let unseen: Vec<Unseen> = self.all(query).await?;
        let mongo = self.mongo;
        for one in unseen {
            self.room -= 1;
            mongo.patiently(|| register::forget(mongo, &one.user_id, &one.device_id)).await?;
            // Nothing is remembered of who has no legal name.
            let Ok(user) = user(&one.user_id) else { continue };
            mongo.confirmed.forget(&user);
        }
        Ok(())
    }

    /// What a collection holds that is older than `before`.
    async fn aged(
        &mut self,
        collection: &'static str,
        index: Index,
        field: &str,
        before: Timestamp,
    ) -> Result<(), StoreError> {
        if self.room <= 0 {
            return Ok(());
        }
        let query = Query::new(collection, index, doc! { field: { "$lt": date(before) } })
            .fields(doc! { "_id": 1 })
            .sort(doc! { field: 1 })
            .limit(self.room);
        let old: Vec<Aged> = self.all(query).await?;
        self.room -= bound(old.len() as u64);
        for one in old {
            // Who took its place meanwhile stays.
            let place = doc! { "_id": one.id, field: { "$lt": date(before) } };
            self.delete(collection, ID.for_statement(doc! { "q": place, "limit": 1 })).await?;
        }
        Ok(())
    }

    async fn update(&self, collection: &'static str, statement: Document) -> Result<(), StoreError> {
        let statement = || {
            let mut writes = Writes::default();
            writes.update(collection, statement.clone());
            writes
        };
        self.mongo.patiently(|| self.mongo.run_all(statement())).await.map(drop)
    }

    async fn delete(&self, collection: &'static str, statement: Document) -> Result<(), StoreError> {
        let statement = || {
            let mut writes = Writes::default();
            writes.delete(collection, statement.clone());
            writes
        };
        self.mongo.patiently(|| self.mongo.run_all(statement())).await.map(drop)
    }
}

/// The smallest id that was made at that moment.
fn first_id_of(at: Timestamp) -> Uuid {
    let mut bytes = [0; 16];
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    uuid(NotificationId::from_bytes(bytes))
}

/// Retention deletes what is old in one inbox.
struct Retire {
    user: UserId,
    ids: Vec<Uuid>,
}

#[async_trait]
impl Operation for Retire {
    /// How many expired on the way, and how many were old.
    type Answer = (u64, u64);

    fn users(&self) -> Vec<UserId> {
        vec![self.user.clone()]
    }

    async fn plan(&self, tx: &mut Tx<'_>) -> Result<Plan<(u64, u64)>, Failure> {
        let now = tx.mongo.now();
        let mut draft = Draft::new(self.user.clone(), tx.mongo.likely_head(&self.user).await?, now);
        let expired = expire(tx, &mut draft, now).await?;
        let filter = doc! { "_id": { "$in": &self.ids }, "user_id": self.user.as_str(), "deleted_at": null };
        let mut old: Vec<Found> = tx.all(Query::new(INBOXES, ID, filter).fields(Found::fields())).await?;
        draft.leave_out_deleted(&mut old);
        old.sort_unstable_by_key(|one| one.key);
        if !old.is_empty() {
            let ids = Draft::ids(&old);
            draft.change(MarkOp::Delete, &old, ids, None);
        }
        Ok(Plan::of(draft, (expired, old.len() as u64)))
    }
}

/// Removes tombstones of one inbox. A cursor below the revision of one that is gone would miss that deletion, so the floor
/// rises to it first.
struct Purge {
    user: UserId,
    /// Each one's key and revision.
    tombstones: Vec<(i64, i64)>,
    cutoff: Timestamp,
}

#[async_trait]
impl Operation for Purge {
    type Answer = ();

    fn users(&self) -> Vec<UserId> {
        vec![self.user.clone()]
    }

    async fn plan(&self, tx: &mut Tx<'_>) -> Result<Plan<()>, Failure> {
        let head = bound(tx.mongo.head(&self.user).await?.rev);
        let name = self.user.as_str();
        let floor = self.tombstones.iter().map(|(_, rev)| *rev).max().unwrap_or(0);
        let mut writes = Writes::default();
        writes.update(
            INBOXES,
            doc! {
                "q": { "user_id": name, "key": PROGRESS }, "u": { "$max": { "floor": floor } },
                "upsert": true
            },
        );
        for (key, rev) in &self.tombstones {
            let place = doc! { "user_id": name, "key": *key, "rev": *rev, "deleted_at": { "$lt": date(self.cutoff) } };
            if *key == head {
                // The newest revision says where the inbox stands: only what it was goes.
                let nothing = doc! {
                    "$set": { "step": "purged", "stepped_at": date(tx.mongo.now()) },
                    "$unset": {
                        "rev": "", "deleted_at": "", "created_at": "", "title": "", "message": "", "data": "",
                        "category": "", "priority": "", "url": "", "avatar": "", "actions": "",
                    },
                };
                writes.update(INBOXES, LOG.for_statement(doc! { "q": place, "u": nothing }));
            } else {
                writes.delete(INBOXES, LOG.for_statement(doc! { "q": place, "limit": 1 }));
            }
        }
        Ok(Plan { more: writes, ..Plan::nothing(()) })
    }
}
