//! Reading everything out, for another store.
//!
//! An inbox is read in one transaction, so that all of it is of one moment. A transaction lasts a minute at most, where
//! nobody has changed that, so none is held while what was read is written down, but in the middle of an inbox. On a single
//! server without transactions nobody else may be at the database.

use crate::documents::{
    DeviceDocument, IDEMPOTENCY, INBOXES, Item, KeyDocument, PROGRESS, Progress, REGISTRATIONS, REVOCATIONS,
    ReceiptDocument, bound, date, device, id, number, time, user,
};
use crate::failure::Failure;
use crate::mongo::{Mongo, write_concern};
use crate::open::{OpenError, Options, connect, epoch, layout, occupy};
use crate::query::{Found, Query};
use crate::schema::{CHANGED, ID, LOG, OF_DEVICE};
use async_trait::async_trait;
use mongodb::ClientSession;
use mongodb::bson::{Bson, DateTime, Document, deserialize_from_document, doc};
use mongodb::options::ReadConcern;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tidings_domain::{Revision, SystemClock, Timestamp, UserId};
use tidings_store::transfer::{
    Connection, DeviceRecord, InboxRecord, ItemRecord, KeyRecord, Record, RevocationRecord, Source,
    TombstoneRecord,
};
use tidings_store::{IDEMPOTENCY_TTL, Silent, StoreError};

/// How many documents are read at a time.
const PAGE: usize = 500;

/// Reads the store at `uri`, also while nodes serve it: of each inbox all is of one moment. On a single server without
/// transactions no node may be there. Idempotency keys past their time at `now` are left out.
pub async fn export(uri: &str, now: Timestamp) -> Result<impl Source + use<>, OpenError> {
    let mongo = Arc::new(connect(uri, Options::default(), Arc::new(SystemClock), Arc::new(Silent)).await?);
    if layout(&mongo).await?.is_none() || epoch(&mongo).await?.is_none() {
        return Err(OpenError::Missing { database: mongo.db.name().to_owned(), hosts: mongo.hosts.clone() });
    }
    if !mongo.has_transactions {
        occupy(&mongo).await?;
        mongo.finish_journal().await.map_err(OpenError::unusable(&mongo))?;
    }
    Ok(Export { mongo, now, moment: None, open: None, at: At::Inboxes { after: String::new() } })
}

/// A walk through the database.
struct Export {
    mongo: Arc<Mongo>,
    now: Timestamp,
    /// The transaction in which is read.
    moment: Option<ClientSession>,
    /// The inbox that comes.
    open: Option<Open>,
    at: At,
}

/// What is read next.
enum At {
    /// The inboxes after this one, many at a time.
    Inboxes { after: String },
    /// One that is too large for that: its revisions above this one.
    Revisions { user: String, above: i64 },
    /// And what else is there of it.
    Rest { user: String },
    /// Ends of sessions after this user's.
    Revocations { after: String },
    /// The idempotency key after this one.
    Key { after: String },
    /// Nothing.
    End,
}

/// An inbox of which a part has come.
struct Open {
    user: UserId,
    head: Revision,
    progress: Progress,
}

#[async_trait]
impl Source for Export {
    async fn size(&mut self) -> Result<u64, StoreError> {
        let items = Query::new(INBOXES, CHANGED, doc! { "user_id": { "$gt": "" }, "rev": { "$gte": 0_i64 } });
        items.count(&self.mongo, u64::MAX).await.map_err(Failure::into_store_error)
    }

    async fn next(&mut self) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        self.page(&mut records).await.map_err(Failure::into_store_error)?;
        Ok(records)
    }
}

/// An inbox's documents in order: revisions by number, then devices by id, then how far they have come.
fn log(filter: Document) -> Query {
    Query::new(INBOXES, LOG, filter).sort(doc! { "user_id": 1, "key": 1 })
}

impl Export {
    async fn page(&mut self, records: &mut Vec<Record>) -> Result<(), Failure> {
        while records.len() < PAGE && !matches!(self.at, At::End) {
            self.begin().await?;
            self.step(records).await?;
        }
        match self.at {
            At::Revisions { .. } | At::Rest { .. } => Ok(()),
            _ => self.settle().await,
        }
    }

    async fn step(&mut self, records: &mut Vec<Record>) -> Result<(), Failure> {
        self.at = match std::mem::replace(&mut self.at, At::End) {
            At::Inboxes { after } => self.inboxes(after, records).await?,
            At::Revisions { user, above } => {
                let filter = doc! { "user_id": &user, "key": { "$gt": above } };
                let found: Vec<Document> = self.all(log(filter).limit(bound(PAGE as u64))).await?;
                let (count, last) = (found.len(), found.last().and_then(|last| last.get_i64("key").ok()));
                self.emit(found, records).await?;
                match last {
                    Some(above) if count == PAGE => At::Revisions { user, above },
                    _ => At::Rest { user },
                }
            }
            At::Rest { user } => {
                let found = self.all(log(doc! { "user_id": &user, "key": { "$gte": "" } })).await?;
                self.emit(found, records).await?;
                self.close(records);
                At::Inboxes { after: user }
            }
            At::Revocations { after } => self.revocations(after, records).await?,
            At::Key { after } => match self.next_key(&after).await? {
                Some(record) => {
                    let after = record.key.clone();
                    records.push(Record::Idempotency(record));
                    At::Key { after }
                }
                None => {
                    if !self.mongo.has_transactions {
                        self.mongo.return_lease().await;
                    }
                    At::End
                }
            },
            At::End => At::End,
        };
        Ok(())
    }

    /// A page of inboxes, each of them whole; or the first part of one that fills more than a page.
    async fn inboxes(&mut self, after: String, records: &mut Vec<Record>) -> Result<At, Failure> {
        let mut found: Vec<Document> =
            self.all(log(doc! { "user_id": { "$gt": after } }).limit(bound(PAGE as u64))).await?;
        let Some(last) = found.last() else { return Ok(At::Revocations { after: String::new() }) };
        let (last, more) = (name_in(last)?.to_owned(), found.len() == PAGE);
        if more {
            found.retain(|document| document.get_str("user_id").is_ok_and(|user| user != last));
            if found.is_empty() {
                return Ok(At::Revisions { user: last, above: 0 });
            }
        }
        let after = found.last().map(name_in).transpose()?.unwrap_or_default().to_owned();
        self.emit(found, records).await?;
        self.close(records);
        Ok(At::Inboxes { after })
    }

    /// What these documents say, in their order.
    async fn emit(&mut self, found: Vec<Document>, records: &mut Vec<Record>) -> Result<(), Failure> {
        let mut connections = self.connections(&found).await?;
        for document in found {
            let name = name_in(&document)?;
            if self.open.as_ref().is_none_or(|open| open.user.as_str() != name) {
                let user = user(name)?;
                self.close(records);
                self.open = Some(Open { user, head: 0, progress: Progress::default() });
            }
            let Some(open) = &mut self.open else { continue };
            match document.get("key") {
                Some(Bson::Int64(key)) => {
                    open.head = number(*key);
                    // What has no `rev` is a step: nothing is left of it but the number.
                    if document.contains_key("rev") {
                        records.push(item(deserialize_from_document(document)?, &open.user)?);
                    }
                }
                Some(Bson::String(key)) if key == PROGRESS => {
                    open.progress = deserialize_from_document(document)?;
                }
                Some(Bson::String(_)) => {
                    let found: DeviceDocument = deserialize_from_document(document)?;
                    let of = (open.user.as_str().to_owned(), found.device_id.clone());
                    records.push(Record::Device(DeviceRecord {
                        user_id: open.user.clone(),
                        device_id: device(&found.device_id)?,
                        cursor: number(found.cursor),
                        last_seen_at: time(found.last_seen_at),
                        transport: found.transport,
                        connections: connections.remove(&of).unwrap_or_default(),
                    }));
                }
                _ => return Err(Failure::Damaged("a document of an inbox has no key".to_owned())),
            }
        }
        Ok(())
    }

    /// The inbox that came is complete.
    fn close(&mut self, records: &mut Vec<Record>) {
        let Some(Open { user, head, progress }) = self.open.take() else { return };
        let (floor, confirmed) = (number(progress.floor), number(progress.confirmed));
        records.push(Record::Inbox(InboxRecord { user_id: user, head, floor, confirmed }));
    }

    /// The connections of the devices among these documents, by user and device. Whoever has changed hands since the export
    /// began may have been seen with another inbox, at an earlier moment; it is left out, and registers by itself.
    async fn connections(
        &mut self,
        found: &[Document],
    ) -> Result<HashMap<(String, String), Vec<Connection>>, Failure> {
        let with_devices = found.iter().filter(|document| document.contains_key("device_id"));
        let users: BTreeSet<&str> = with_devices.map(name_in).collect::<Result<_, _>>()?;
        if users.is_empty() {
            return Ok(HashMap::new());
        }
        let users: Vec<&str> = users.into_iter().collect();
        let filter = doc! { "user_id": { "$in": users } };
        let found: Vec<Registered> = self.all(Query::new(REGISTRATIONS, OF_DEVICE, filter)).await?;
        let mut connections: HashMap<_, Vec<Connection>> = HashMap::new();
        for one in found.into_iter().filter(|one| one.at <= date(self.now)) {
            let connection = Connection { pid: one.pid, at: time(one.at) };
            connections.entry((one.user_id, one.device_id)).or_default().push(connection);
        }
        for of_one in connections.values_mut() {
            of_one.sort_unstable_by(|one, other| (one.at, &one.pid).cmp(&(other.at, &other.pid)));
        }
        Ok(connections)
    }

    async fn revocations(&mut self, after: String, records: &mut Vec<Record>) -> Result<At, Failure> {
        let query = Query::new(REVOCATIONS, ID, doc! { "_id": { "$gt": after } });
        let found: Vec<Revoked> = self.all(query.sort(doc! { "_id": 1 }).limit(bound(PAGE as u64))).await?;
        let mut last = None;
        for one in found {
            records.push(Record::Revocation(RevocationRecord { user_id: user(&one.id)?, at: time(one.at) }));
            last = Some(one.id);
        }
        Ok(match last {
            Some(after) => At::Revocations { after },
            None => At::Key { after: String::new() },
        })
    }

    /// One at a time: its note may weigh megabytes.
    async fn next_key(&mut self, after: &str) -> Result<Option<KeyRecord>, Failure> {
        let oldest = date(self.now.before(IDEMPOTENCY_TTL));
        let filter = doc! { "_id": { "$gt": after }, "created_at": { "$gt": oldest } };
        let query = Query::new(IDEMPOTENCY, ID, filter).sort(doc! { "_id": 1 }).limit(1);
        let Some(found) = self.all::<KeyDocument>(query).await?.pop() else { return Ok(None) };
        let damaged = |_| Failure::Damaged("the fingerprint of an idempotency key is none".to_owned());
        Ok(Some(KeyRecord {
            key: found.key,
            fingerprint: found.fingerprint.bytes.try_into().map_err(damaged)?,
            receipts: found
                .receipts
                .into_iter()
                .map(ReceiptDocument::into_receipt)
                .collect::<Result<_, _>>()?,
            note: found.note.bytes,
            created_at: time(found.created_at),
        }))
    }

    /// Reads in the transaction that is open.
    async fn all<T: Found>(&mut self, query: Query) -> Result<Vec<T>, Failure> {
        match &mut self.moment {
            Some(session) => query.all_within(&self.mongo, session).await,
            None => query.all(&self.mongo).await,
        }
    }

    /// Fixes the moment, where none is.
    async fn begin(&mut self) -> Result<(), Failure> {
        if !self.mongo.has_transactions {
            return self.mongo.lease.check();
        }
        if self.moment.is_none() {
            let mut session = self.mongo.client.start_session().await?;
            let transaction = session.start_transaction().read_concern(ReadConcern::snapshot());
            transaction.write_concern(write_concern()).await?;
            self.moment = Some(session);
        }
        Ok(())
    }

    /// Ends it, and makes sure that a majority has what was read.
    async fn settle(&mut self) -> Result<(), Failure> {
        match self.moment.take() {
            Some(mut session) => Ok(session.commit_transaction().await?),
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Registered {
    #[serde(rename = "_id")]
    pid: String,
    user_id: String,
    device_id: String,
    at: DateTime,
}

#[derive(Deserialize)]
struct Revoked {
    #[serde(rename = "_id")]
    id: String,
    at: DateTime,
}

fn name_in(document: &Document) -> Result<&str, Failure> {
    let nameless = |_| Failure::Damaged("a document of an inbox names no user".to_owned());
    document.get_str("user_id").map_err(nameless)
}

fn item(item: Item, user: &UserId) -> Result<Record, Failure> {
    let (created_at, collapse_key) = (time(item.created_at), item.collapse_key.clone());
    if let Some(deleted_at) = item.deleted_at.map(time) {
        let (id, seq, rev) = (id(item.id), number(item.key), number(item.rev));
        let user_id = user.clone();
        return Ok(Record::Tombstone(TombstoneRecord { user_id, id, seq, rev, created_at, deleted_at }));
    }
    let notification = item.into_notification(user)?;
    Ok(Record::Notification(Box::new(ItemRecord {
        user_id: notification.user_id,
        id: notification.id,
        seq: notification.seq,
        rev: notification.rev,
        created_at,
        edited_at: notification.edited_at,
        expires_at: notification.expires_at,
        collapse_key,
        state: notification.state,
        content: notification.content,
    })))
}
