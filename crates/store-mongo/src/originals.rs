//! Reading the original system's collection, of which nothing is changed: neither a document nor an index.
//!
//! It has no index on `send_to`, so the server sorts it, on its disk where it must: to look for each user's documents alone
//! would read all of it for each user. An import that was cut off reads all again, and counts again what it leaves out, but
//! what is stored is not stored again.

use crate::failure::Failure;
use crate::open::{OpenError, Server, reach, unusable};
use crate::original::{Document, Field, LeftOut, Original, OriginalInbox};
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use tidings_domain::Timestamp;
use tidings_store::transfer::{Intake, Reached, Record, Sink, Totals, TransferError};

const COLLECTION: &str = "notifications";

/// Where the original's driver looks when the address names no database.
const DATABASE: &str = "test";

/// How many documents come at a time.
const BATCH: u32 = 1_000;

/// How many of those that are left out are named.
const NAMED: usize = 10;

/// How much is said of an `_id` that is none of the original's.
const NAME_CHARS: usize = 60;

/// The original system's notifications.
pub struct Originals {
    all: Collection<RawDocumentBuf>,
    size: u64,
}

/// What has become of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TakenOver {
    /// How many users have them.
    pub users: u64,
    /// How many were taken over.
    pub notifications: u64,
    /// How many of those by attempts that were cut off.
    pub before: u64,
    /// How many of those are older than what is kept.
    pub old: u64,
    /// How many were left out.
    pub left_out: u64,
    /// The first of those: `_id` and why.
    pub named: Vec<(String, String)>,
}

impl Originals {
    /// Looks for them in the database at `uri`.
    pub async fn open(uri: &str) -> Result<Self, OpenError> {
        let Server { client, name, hosts } = reach(uri, DATABASE).await?;
        let all = client.database(&name).collection(COLLECTION);
        let counted = all.estimated_document_count().await;
        match counted.map_err(|error| unusable(hosts.clone())(error.into()))? {
            0 => Err(OpenError::NoOriginal { database: name, hosts }),
            size => Ok(Self { all, size }),
        }
    }

    /// How many there are, about.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes them over into `sink`. What was stored before `cutoff` is counted apart. `progress` hears now and then how much
    /// this attempt has stored, and how many documents it has read.
    pub async fn take_over(
        self,
        sink: Box<dyn Sink>,
        now: Timestamp,
        cutoff: Timestamp,
        progress: &mut (dyn FnMut(&Totals, u64) + Send),
    ) -> Result<TakenOver, TransferError> {
        let reached = sink.reached().cloned();
        let mut walk = Walk {
            intake: Intake::new(sink, now),
            reached,
            inbox: None,
            cutoff,
            so_far: TakenOver::default(),
        };
        match self.walk(&mut walk, now, progress).await {
            Ok(()) => {
                walk.intake.finish().await?;
                Ok(walk.so_far)
            }
            Err(error) => {
                walk.intake.abandon().await;
                Err(error)
            }
        }
    }

    async fn walk(
        &self,
        walk: &mut Walk,
        now: Timestamp,
        progress: &mut (dyn FnMut(&Totals, u64) + Send),
    ) -> Result<(), TransferError> {
        let failed = |error: mongodb::error::Error| Failure::from(error).into_store_error();
        let fields = doc! { "send_to": 1, "message": 1, "status": 1, "createdAt": 1, "updatedAt": 1 };
        let sorted = [doc! { "$project": fields }, doc! { "$sort": { "send_to": 1, "_id": 1 } }];
        let cursor = self.all.aggregate(sorted).allow_disk_use(true).batch_size(BATCH);
        let mut cursor = cursor.with_type::<RawDocumentBuf>().await.map_err(failed)?;
        let mut read = 0;
        while let Some(found) = cursor.try_next().await.map_err(failed)? {
            read += 1;
            match Original::of(document(&found), now) {
                Ok(original) => walk.take(original).await?,
                Err(reason) => walk.leave_out(&found, &reason),
            }
            if read % u64::from(BATCH) == 0 {
                progress(walk.intake.totals(), read);
            }
        }
        walk.close().await?;
        walk.pass()
    }
}

/// One pass over all of them, inbox by inbox.
struct Walk {
    intake: Intake,
    /// What is stored already.
    reached: Option<Reached>,
    /// The inbox that comes.
    inbox: Option<OriginalInbox>,
    cutoff: Timestamp,
    so_far: TakenOver,
}

impl Walk {
    async fn take(&mut self, original: Original) -> Result<(), TransferError> {
        if self.inbox.as_ref().is_none_or(|inbox| *inbox.user_id() != original.user_id) {
            self.close().await?;
            if self.reached.as_ref().is_some_and(|reached| original.user_id > reached.user_id) {
                self.pass()?;
            }
            self.so_far.users += 1;
        }
        let inbox = self.inbox.get_or_insert_with(|| OriginalInbox::new(original.user_id.clone()));
        let item = inbox.take(original);
        self.so_far.notifications += 1;
        self.so_far.old += u64::from(item.created_at < self.cutoff);
        if self.reached.is_some() {
            self.so_far.before += 1;
            return Ok(());
        }
        self.intake.take(Record::Notification(Box::new(item))).await
    }

    /// The inbox that came is complete.
    async fn close(&mut self) -> Result<(), TransferError> {
        match self.inbox.take() {
            Some(inbox) if self.reached.is_none() => {
                self.intake.take(Record::Inbox(inbox.into_record())).await
            }
            _ => Ok(()),
        }
    }

    /// From here on nothing is stored yet. What is must be what came: nobody may have written to the original meanwhile.
    fn pass(&mut self) -> Result<(), TransferError> {
        match self.reached.take() {
            Some(reached) if reached.notifications != self.so_far.before => {
                Err(TransferError::Refused(format!(
                    "the original's collection has changed since this import was begun: of the inboxes up to {}, {} \
                     notifications were taken over, and now there are {}; stop what writes to it, and drop the collections \
                     tidings_* to begin anew",
                    reached.user_id, reached.notifications, self.so_far.before
                )))
            }
            _ => Ok(()),
        }
    }

    fn leave_out(&mut self, found: &RawDocument, reason: &LeftOut) {
        self.so_far.left_out += 1;
        if self.so_far.named.len() < NAMED {
            self.so_far.named.push((name(found), reason.to_string()));
        }
    }
}

/// The `_id`, for people.
fn name(found: &RawDocument) -> String {
    let id = found.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok());
    match id {
        Some(Bson::ObjectId(id)) => id.to_hex(),
        Some(other) => other.to_string().escape_debug().take(NAME_CHARS).collect(),
        None => "(unreadable)".to_owned(),
    }
}

fn document(found: &RawDocument) -> Document {
    let text = |name| field(found, name, |value| value.as_str().map(str::to_owned));
    let moment = |name| {
        field(found, name, |value| {
            value.as_datetime().map(|at| Timestamp::from_millis(at.timestamp_millis()))
        })
    };
    Document {
        id: field(found, "_id", |value| value.as_object_id().map(|id| id.bytes())),
        send_to: text("send_to"),
        message: text("message"),
        status: text("status"),
        created_at: moment("createdAt"),
        updated_at: moment("updatedAt"),
    }
}

/// What cannot be read at all is of another type too.
fn field<T>(found: &RawDocument, name: &str, of: impl Fn(RawBsonRef<'_>) -> Option<T>) -> Field<T> {
    match found.get(name) {
        Ok(None | Some(RawBsonRef::Null)) => Field::Missing,
        Ok(Some(value)) => of(value).map_or(Field::Other, Field::Is),
        Err(_) => Field::Other,
    }
}
