//! Filling a database with what came out of another store.
//!
//! While an import is under way its mark lies where the epoch will: a node that starts there sees it and refuses, and where
//! a node has been, the mark finds no place. The end puts the epoch in its place, in one step. One import at a time: it
//! holds the lease, as the only node at a single server does.
//!
//! An import of the original system's documents, whose order is always the same, can be gone on with: the mark says up to
//! which inbox all is stored. What an attempt that was cut off has stored above that goes first, so that nothing is doubled.

use crate::documents::{
    DeviceDocument, Head, IDEMPOTENCY, INBOXES, Item, JOURNAL, KeyDocument, META, PROGRESS, REGISTRATIONS,
    REVOCATIONS, ReceiptDocument, bound, date, device_key, number, uuid,
};
use crate::failure::Failure;
use crate::lease::{NODE, Taken, keep};
use crate::mongo::Mongo;
use crate::open::{EPOCH, OpenError, Options, connect, layout, set_once};
use crate::query::Query;
use crate::schema::{self, ID, VERSION};
use crate::writes::Writes;
use async_trait::async_trait;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, RawDocumentBuf, Uuid, doc, serialize_to_raw_document_buf};
use mongodb::error::ErrorKind;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use tidings_domain::{Clock, Content, NotificationId, Priority, Revision, SystemClock, Timestamp, UserId};
use tidings_store::Silent;
use tidings_store::transfer::{
    DeviceRecord, Inbox, ItemRecord, KeyRecord, Reached, Sink, Slice, TombstoneRecord, TransferError,
};

/// The error of a server at which a key is taken.
const DUPLICATE_KEY: i32 = 11_000;

/// What an import is filled from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportFrom {
    /// A file: begun anew each time.
    File,
    /// The original system's collection: gone on with where it was cut off.
    Original,
}

/// The mark of an import, in the epoch's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mark {
    from: ImportFrom,
    /// Every inbox up to this one is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// So many notifications they have.
    #[serde(default)]
    notifications: i64,
}

#[derive(Deserialize)]
struct Marked {
    import: Option<Mark>,
}

/// Begins to fill the database at `uri`, which holds no store of ours, or an import that has not ended: that one is gone on
/// with, or taken away and begun anew. Other collections of the database are left alone.
pub async fn import(uri: &str, from: ImportFrom) -> Result<impl Sink + use<>, OpenError> {
    let mongo = Arc::new(connect(uri, Options::default(), Arc::new(SystemClock), Arc::new(Silent)).await?);
    let place = || (mongo.db.name().to_owned(), mongo.hosts.clone());
    let unusable = OpenError::unusable(&mongo);
    layout(&mongo).await?;
    // A node that serves is told of first; its lease would be waited for.
    if is_served(&mongo).await.map_err(&unusable)? {
        let (database, hosts) = place();
        return Err(OpenError::Exists { database, hosts });
    }
    if let Err(Taken) = mongo.take_lease().await.map_err(&unusable)? {
        let (database, hosts) = place();
        return Err(OpenError::Importing { database, hosts });
    }
    tokio::spawn(keep(Arc::downgrade(&mongo)));
    match begin(mongo.clone(), from).await {
        Ok(Some(import)) => Ok(import),
        Ok(None) => {
            mongo.return_lease().await;
            let (database, hosts) = place();
            Err(OpenError::Exists { database, hosts })
        }
        Err(failure) => {
            mongo.return_lease().await;
            Err(unusable(failure))
        }
    }
}

async fn mark(mongo: &Mongo) -> Result<Option<Marked>, Failure> {
    Query::new(META, ID, doc! { "_id": EPOCH }).one(mongo).await
}

/// Whether there is a store.
async fn is_served(mongo: &Mongo) -> Result<bool, Failure> {
    Ok(mark(mongo).await?.is_some_and(|found| found.import.is_none()))
}

/// `None`: there is a store, or a part of one.
async fn begin(mongo: Arc<Mongo>, from: ImportFrom) -> Result<Option<Import>, Failure> {
    let begun = match mark(&mongo).await? {
        Some(Marked { import: Some(begun) }) => Some(begun),
        Some(Marked { import: None }) => return Ok(None),
        None if holds_anything(&mongo).await? => return Ok(None),
        None => None,
    };
    schema::create_indexes(&mongo.db).await?;
    set_once(&mongo, "layout", doc! { "version": VERSION }).await?;
    let mark = match begun {
        Some(begun) if begun.from == ImportFrom::Original && from == begun.from => begun,
        _ => Mark { from, user_id: None, notifications: 0 },
    };
    let fields = doc! { "import": mongodb::bson::serialize_to_bson(&mark)? };
    set_once(&mongo, EPOCH, fields.clone()).await?;
    if is_served(&mongo).await? {
        return Ok(None);
    }
    wipe(&mongo, mark.user_id.as_deref()).await?;
    // Where another kind of import had begun.
    let mut writes = Writes::default();
    writes.update(META, doc! { "q": { "_id": EPOCH, "epoch": null }, "u": { "$set": fields } });
    mongo.run_all(writes).await?;
    let user = mark.user_id.as_deref().map(crate::documents::user).transpose()?;
    let reached = user.map(|user_id| Reached { user_id, notifications: number(mark.notifications) });
    Ok(Some(Import { mongo, from, reached, notifications: mark.notifications, of_open: 0 }))
}

/// Whether anything of a store is there; what says how it is laid out and who is at it is nothing.
async fn holds_anything(mongo: &Mongo) -> Result<bool, Failure> {
    for collection in [INBOXES, REGISTRATIONS, REVOCATIONS, IDEMPOTENCY, JOURNAL] {
        if Query::new(collection, ID, doc! {}).one::<Document>(mongo).await?.is_some() {
            return Ok(true);
        }
    }
    let other = doc! { "_id": { "$nin": ["layout", NODE] } };
    Ok(Query::new(META, ID, other).one::<Document>(mongo).await?.is_some())
}

/// Takes away what was put, but for the inboxes up to `kept`.
async fn wipe(mongo: &Mongo, kept: Option<&str>) -> Result<(), Failure> {
    mongo.lease.check()?;
    let above = kept.map_or_else(|| doc! {}, |user| doc! { "user_id": { "$gt": user } });
    mongo.db.collection::<Document>(INBOXES).delete_many(above).await?;
    for collection in [REGISTRATIONS, REVOCATIONS, IDEMPOTENCY, JOURNAL] {
        mongo.db.collection::<Document>(collection).delete_many(doc! {}).await?;
    }
    Ok(())
}

struct Import {
    mongo: Arc<Mongo>,
    from: ImportFrom,
    reached: Option<Reached>,
    /// How many notifications the inboxes have that are whole.
    notifications: i64,
    /// And the one of which only a part has come.
    of_open: i64,
}

#[async_trait]
impl Sink for Import {
    fn reached(&self) -> Option<&Reached> {
        self.reached.as_ref()
    }

    async fn put(&mut self, slice: Slice) -> Result<(), TransferError> {
        self.mongo.lease.check().map_err(failed)?;
        let mut documents = Documents::default();
        let now = SystemClock.now();
        let mut heads: HashMap<UserId, Head> =
            slice.inboxes.iter().map(|inbox| (inbox.record.user_id.clone(), head(inbox))).collect();
        for item in &slice.items {
            let after = take_head(&mut heads, &item.user_id, item.seq);
            documents.push_item(item.id, &of_item(item, after)).map_err(failed)?;
        }
        for tombstone in &slice.tombstones {
            let after = take_head(&mut heads, &tombstone.user_id, tombstone.seq);
            documents.push_item(tombstone.id, &of_tombstone(tombstone, after)).map_err(failed)?;
        }
        for device in &slice.devices {
            documents.push_device(device).map_err(failed)?;
        }
        for inbox in &slice.inboxes {
            documents.push_progress(inbox).map_err(failed)?;
        }
        self.insert(INBOXES, documents.inboxes).await?;
        self.insert(REGISTRATIONS, documents.registrations).await?;
        self.put_heads(&heads, now).await.map_err(failed)?;
        let revocations = slice.revocations.iter().map(|one| {
            let document = doc! { "_id": one.user_id.as_str(), "at": date(one.at) };
            Ok((String::new(), RawDocumentBuf::try_from(&document)?))
        });
        self.insert(REVOCATIONS, revocations.collect::<Result<_, Failure>>().map_err(failed)?).await?;
        let keys = slice.keys.into_iter().map(|key| Ok((String::new(), of_key(key)?)));
        self.insert(IDEMPOTENCY, keys.collect::<Result<_, Failure>>().map_err(failed)?).await?;
        let Some(last) = slice.inboxes.last() else {
            self.of_open += bound(slice.items.len() as u64);
            return Ok(());
        };
        let of_open = |item: &&ItemRecord| item.user_id > last.record.user_id;
        let open = bound(slice.items.iter().filter(of_open).count() as u64);
        self.notifications += self.of_open + bound(slice.items.len() as u64) - open;
        self.of_open = open;
        self.note_reached(&last.record.user_id).await.map_err(failed)
    }

    async fn finish(self: Box<Self>) -> Result<(), TransferError> {
        let done = async {
            self.mongo.lease.check()?;
            let mut writes = Writes::default();
            writes.update(
                META,
                doc! {
                    "q": { "_id": EPOCH, "epoch": null },
                    "u": { "$set": { "epoch": Uuid::new().to_string() }, "$unset": { "import": "" } },
                },
            );
            self.mongo.run_all(writes).await
        };
        let done = done.await;
        self.mongo.return_lease().await;
        done.map(drop).map_err(failed)
    }

    async fn abandon(self: Box<Self>) {
        // What can be gone on with stays, marked.
        if self.from == ImportFrom::File || self.notifications == 0 {
            let done = async {
                wipe(&self.mongo, None).await?;
                let mut writes = Writes::default();
                writes.delete(META, doc! { "q": { "_id": EPOCH, "epoch": null }, "limit": 1 });
                self.mongo.run_all(writes).await
            };
            if let Err(failure) = done.await {
                tracing::warn!(?failure, "an import was given up, but what there is of it stays");
            }
        }
        self.mongo.return_lease().await;
    }
}

impl Import {
    /// New documents, each with what it is called where it is there already.
    async fn insert(
        &self,
        collection: &str,
        documents: Vec<(String, RawDocumentBuf)>,
    ) -> Result<(), TransferError> {
        if documents.is_empty() {
            return Ok(());
        }
        let (names, documents): (Vec<String>, Vec<RawDocumentBuf>) = documents.into_iter().unzip();
        let collection = self.mongo.db.collection::<RawDocumentBuf>(collection);
        let Err(error) = collection.insert_many(documents).await else { return Ok(()) };
        if let ErrorKind::InsertMany(many) = error.kind.as_ref() {
            let first = many.write_errors.iter().flatten().find(|one| one.code == DUPLICATE_KEY);
            if let Some(name) = first.and_then(|one| names.get(one.index)) {
                return Err(TransferError::Twice(name.clone()));
            }
        }
        Err(failed(error.into()))
    }

    /// Where inboxes stand whose newest revision was stored before, or is not a notification's: the one is told so, for the
    /// other a step is made.
    async fn put_heads(&self, heads: &HashMap<UserId, Head>, now: Timestamp) -> Result<(), Failure> {
        let mut writes = Writes::unordered();
        for (user, head) in heads.iter().filter(|(_, head)| head.rev > 0) {
            let after = mongodb::bson::serialize_to_bson(&head.after())?;
            let step = doc! { "step": "imported", "stepped_at": date(now) };
            writes.update(
                INBOXES,
                doc! {
                    "q": { "user_id": user.as_str(), "key": bound(head.rev) },
                    "u": { "$set": { "after": after }, "$setOnInsert": step },
                    "upsert": true,
                },
            );
        }
        self.mongo.run_all(writes).await.map(drop)
    }

    /// All is stored up to this inbox.
    async fn note_reached(&self, user: &UserId) -> Result<(), Failure> {
        let mut writes = Writes::default();
        let reached = doc! { "import.user_id": user.as_str(), "import.notifications": self.notifications };
        writes.update(META, doc! { "q": { "_id": EPOCH, "epoch": null }, "u": { "$set": reached } });
        self.mongo.run_all(writes).await.map(drop)
    }
}

/// What a slice comes to, each document with its name for people.
#[derive(Default)]
struct Documents {
    inboxes: Vec<(String, RawDocumentBuf)>,
    registrations: Vec<(String, RawDocumentBuf)>,
}

impl Documents {
    fn push_item(&mut self, id: NotificationId, item: &Item) -> Result<(), Failure> {
        self.inboxes.push((format!("the notification {id}"), serialize_to_raw_document_buf(item)?));
        Ok(())
    }

    fn push_device(&mut self, device: &DeviceRecord) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Stored<'a> {
            #[serde(rename = "_id")]
            id: ObjectId,
            user_id: &'a str,
            key: String,
            #[serde(flatten)]
            device: DeviceDocument,
        }
        let (user_id, device_id) = (device.user_id.as_str(), device.device_id.as_str());
        let stored = Stored {
            id: ObjectId::new(),
            user_id,
            key: device_key(device_id),
            device: DeviceDocument {
                device_id: device_id.to_owned(),
                cursor: bound(device.cursor),
                last_seen_at: date(device.last_seen_at),
                transport: device.transport.clone(),
                resume: None,
            },
        };
        self.inboxes.push((format!("the device {device_id}"), serialize_to_raw_document_buf(&stored)?));
        for connection in &device.connections {
            let document = doc! {
                "_id": &connection.pid, "user_id": user_id, "device_id": device_id, "at": date(connection.at),
            };
            let name = format!("the connection {}", connection.pid);
            self.registrations.push((name, RawDocumentBuf::try_from(&document)?));
        }
        Ok(())
    }

    /// Always written, so that an inbox of which nothing else is left is there.
    fn push_progress(&mut self, inbox: &Inbox) -> Result<(), Failure> {
        let record = &inbox.record;
        let document = doc! {
            "_id": ObjectId::new(), "user_id": record.user_id.as_str(), "key": PROGRESS,
            "confirmed": bound(record.confirmed), "settled": bound(inbox.settled), "floor": bound(record.floor),
        };
        self.inboxes.push((format!("the inbox of {}", record.user_id), RawDocumentBuf::try_from(&document)?));
        Ok(())
    }
}

fn head(inbox: &Inbox) -> Head {
    Head { rev: inbox.record.head, counted: inbox.counts, next_expiry: inbox.next_expiry }
}

/// Where the inbox stands, if that revision is its newest one. Of others nobody asks for the numbers after them.
fn take_head(heads: &mut HashMap<UserId, Head>, user: &UserId, rev: Revision) -> Head {
    match heads.get(user) {
        Some(head) if head.rev == rev => heads.remove(user).unwrap_or_default(),
        _ => Head::default(),
    }
}

fn of_item(item: &ItemRecord, head: Head) -> Item {
    let Content { title, message, data, category, priority, url, avatar, actions } = &item.content;
    let state = &item.state;
    Item {
        id: uuid(item.id),
        user_id: item.user_id.as_str().to_owned(),
        key: bound(item.seq),
        rev: bound(item.rev),
        created_at: date(item.created_at),
        title: title.clone(),
        message: message.clone(),
        data: data.get().to_owned(),
        category: category.clone(),
        priority: *priority,
        url: url.clone(),
        avatar: avatar.clone(),
        actions: actions.clone(),
        collapse_key: item.collapse_key.clone(),
        expires_at: item.expires_at.map(date),
        delivered_at: state.delivered_at.map(date),
        seen_at: state.seen_at.map(date),
        read_at: state.read_at.map(date),
        archived_at: state.archived_at.map(date),
        deleted_at: None,
        edited_at: item.edited_at.map(date),
        after: head.after(),
    }
}

fn of_tombstone(tombstone: &TombstoneRecord, head: Head) -> Item {
    Item {
        id: uuid(tombstone.id),
        user_id: tombstone.user_id.as_str().to_owned(),
        key: bound(tombstone.seq),
        rev: bound(tombstone.rev),
        created_at: date(tombstone.created_at),
        title: String::new(),
        message: String::new(),
        data: String::new(),
        category: None,
        priority: Priority::default(),
        url: None,
        avatar: None,
        actions: Vec::new(),
        collapse_key: None,
        expires_at: None,
        delivered_at: None,
        seen_at: None,
        read_at: None,
        archived_at: None,
        deleted_at: Some(date(tombstone.deleted_at)),
        edited_at: None,
        after: head.after(),
    }
}

fn of_key(key: KeyRecord) -> Result<RawDocumentBuf, Failure> {
    let binary = |bytes: Vec<u8>| Binary { subtype: BinarySubtype::Generic, bytes };
    let receipts = key.receipts.iter().map(ReceiptDocument::of).collect();
    let document = KeyDocument {
        key: key.key,
        fingerprint: binary(key.fingerprint.to_vec()),
        receipts,
        note: binary(key.note),
        created_at: date(key.created_at),
    };
    Ok(serialize_to_raw_document_buf(&document)?)
}

fn failed(failure: Failure) -> TransferError {
    TransferError::Store(failure.into_store_error())
}
