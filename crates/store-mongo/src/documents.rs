//! What the documents mean. What comes from the database may be anything: a document that we never wrote is an error, not
//! a panic.
//!
//! Everything of one inbox lies in one collection, under the shard key `user_id`, so that all of it is on one shard:
//!
//! | `key` | the document |
//! |---|---|
//! | a number | what took that revision of the inbox: an [`Item`] (a notification) or a [`Step`] (an edit, a change of state) |
//! | `progress` | [`Progress`]: how far the devices have come, and how far back the log reaches |
//! | `device:<id>` | [`Device`](DeviceDocument): one device |
//!
//! `(user_id, key)` is unique. The newest revision is the greatest number among the keys, and its document carries the
//! inbox's numbers right after it. So a send is the insertion of one document.

use crate::failure::Failure;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Binary, DateTime, Document, Uuid, doc};
use serde::{Deserialize, Serialize};
use tidings_domain::{
    Action, Change, Content, Counts, DeviceId, Entry, Kind, Notification, NotificationId, Priority, Revision,
    State, Timestamp, Tombstone, UserId,
};
use tidings_store::{Outgoing, Receipt};

/// Everything of the inboxes.
pub(crate) const INBOXES: &str = "tidings_inboxes";
/// Which connection (`pid`) holds whose registration.
pub(crate) const REGISTRATIONS: &str = "tidings_registrations";
/// What was answered under which idempotency key.
pub(crate) const IDEMPOTENCY: &str = "tidings_idempotency";
/// When whose sessions were ended.
pub(crate) const REVOCATIONS: &str = "tidings_revocations";
/// The store's life, its layout's version, and how far upkeep has come.
pub(crate) const META: &str = "tidings_meta";
/// Without transactions: what is being written.
pub(crate) const JOURNAL: &str = "tidings_journal";

/// The key of an inbox's [`Progress`].
pub(crate) const PROGRESS: &str = "progress";

/// The key of a device.
pub(crate) fn device_key(device_id: &str) -> String {
    format!("device:{device_id}")
}

/// A number as MongoDB holds it; what is larger than any revision stays larger.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A revision that something has.
fn revision(number: i64) -> Result<Revision, Failure> {
    match u64::try_from(number) {
        Ok(rev) if rev > 0 => Ok(rev),
        _ => Err(Failure::Damaged(format!("a notification has the revision {number}"))),
    }
}

/// The revisions above one number and up to another. The bounds are the whole numbers next to them, on the outer side: on an
/// index that goes on after the revision, not every server that speaks MongoDB's protocol counts an inclusive bound itself.
pub(crate) fn between(above: u64, up_to: u64) -> Document {
    doc! { "$gte": bound(above.saturating_add(1)), "$lt": bound(up_to.saturating_add(1)) }
}

/// A number that we wrote.
pub(crate) fn number(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(crate) fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millis())
}

pub(crate) fn time(at: DateTime) -> Timestamp {
    Timestamp::from_millis(at.timestamp_millis())
}

pub(crate) fn uuid(id: NotificationId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

pub(crate) fn id(uuid: Uuid) -> NotificationId {
    NotificationId::from_bytes(uuid.bytes())
}

/// The inbox's numbers right after a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct After {
    total: i64,
    unread: i64,
    unseen: i64,
    /// No live item expires before this; absent: none expires at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_expiry: Option<DateTime>,
}

/// The newest revision of an inbox, and its numbers right after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// 0: nothing was ever written.
    pub rev: Revision,
    /// With what is due to expire and not swept yet.
    pub counted: Counts,
    /// No live item expires before this.
    pub next_expiry: Option<Timestamp>,
}

impl Head {
    /// Whether something has expired that is still counted.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_expiry.is_some_and(|next| next <= now)
    }

    /// Something will expire at `at`.
    pub fn expects(&mut self, at: Option<Timestamp>) {
        self.next_expiry = self.next_expiry.into_iter().chain(at).min();
    }

    pub fn after(&self) -> After {
        let Counts { total, unread, unseen } = self.counted;
        After {
            total: bound(total),
            unread: bound(unread),
            unseen: bound(unseen),
            next_expiry: self.next_expiry.map(date),
        }
    }
}

/// The part of a revision's document that says where its inbox stands.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HeadDocument {
    key: i64,
    after: After,
}

impl HeadDocument {
    pub fn head(&self) -> Result<Head, Failure> {
        let next_expiry = self.after.next_expiry.map(time);
        Ok(Head { rev: revision(self.key)?, counted: self.after.counts()?, next_expiry })
    }
}

impl After {
    fn counts(&self) -> Result<Counts, Failure> {
        let After { total, unread, unseen, .. } = *self;
        let of = |count: i64| {
            u64::try_from(count)
                .map_err(|_| Failure::Damaged(format!("an inbox counts {count} notifications")))
        };
        Ok(Counts { total: of(total)?, unread: of(unread)?, unseen: of(unseen)? })
    }
}

/// A notification. Absent fields are `None`; those that are indexed sparsely go when it is deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    #[serde(rename = "_id")]
    pub id: Uuid,
    pub user_id: String,
    /// Its `seq`.
    pub key: i64,
    pub rev: i64,
    pub created_at: DateTime,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub message: String,
    /// The JSON text, letter by letter as it was sent.
    #[serde(default)]
    pub data: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(default)]
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<DateTime>,
    pub after: After,
}

impl Item {
    /// A new one, as the revision that `head` has come to.
    pub fn new(outgoing: &Outgoing, head: &Head, now: Timestamp) -> Self {
        let Content { title, message, data, category, priority, url, avatar, actions } = &*outgoing.content;
        Self {
            id: uuid(outgoing.id),
            user_id: outgoing.user_id.as_str().to_owned(),
            key: bound(head.rev),
            rev: bound(head.rev),
            created_at: date(now),
            title: title.clone(),
            message: message.clone(),
            data: data.get().to_owned(),
            category: category.clone(),
            priority: *priority,
            url: url.clone(),
            avatar: avatar.clone(),
            actions: actions.clone(),
            collapse_key: outgoing.collapse_key.as_deref().map(str::to_owned),
            expires_at: outgoing.expires_at.map(date),
            delivered_at: None,
            seen_at: None,
            read_at: None,
            archived_at: None,
            deleted_at: None,
            edited_at: None,
            after: head.after(),
        }
    }

    fn state(&self) -> State {
        State {
            delivered_at: self.delivered_at.map(time),
            seen_at: self.seen_at.map(time),
            read_at: self.read_at.map(time),
            archived_at: self.archived_at.map(time),
        }
    }

    /// What a device sees of it, when it is not deleted.
    pub fn into_notification(self, user_id: &UserId) -> Result<Notification, Failure> {
        let state = self.state();
        let data = serde_json::value::RawValue::from_string(self.data)
            .map_err(|error| Failure::Damaged(format!("the data of a notification is no JSON: {error}")))?;
        Ok(Notification {
            id: id(self.id),
            user_id: user_id.clone(),
            seq: revision(self.key)?,
            rev: revision(self.rev)?,
            content: Content {
                title: self.title,
                message: self.message,
                data,
                category: self.category,
                priority: self.priority,
                url: self.url,
                avatar: self.avatar,
                actions: self.actions,
            },
            state,
            timestamp: time(self.created_at),
            edited_at: self.edited_at.map(time),
            expires_at: self.expires_at.map(time),
        })
    }

    /// What devices learn of it when it is new.
    pub fn into_change(self, user_id: &UserId) -> Result<Change, Failure> {
        let counts = self.after.counts()?;
        let (rev, notification) = (revision(self.key)?, self.into_notification(user_id)?);
        Ok(Change { user_id: user_id.clone(), rev, counts, kind: Kind::Sent(Box::new(notification)) })
    }

    /// What the log says of it.
    pub fn into_entry(self, user_id: &UserId) -> Result<Entry, Failure> {
        if self.deleted_at.is_some() {
            let (seq, rev) = (revision(self.key)?, revision(self.rev)?);
            return Ok(Entry::Deleted(Tombstone { id: id(self.id), seq, rev }));
        }
        Ok(Entry::Live(Box::new(self.into_notification(user_id)?)))
    }
}

/// A revision that is not a new notification. It is read only while it is the newest.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    #[serde(rename = "_id")]
    pub id: ObjectId,
    pub user_id: String,
    pub key: i64,
    /// What was done, for people who look at the log.
    pub step: String,
    pub stepped_at: DateTime,
    pub after: After,
}

/// How far an inbox's devices have come, and how far back its log reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// The furthest that any device has confirmed.
    pub confirmed: i64,
    /// Every live item with a revision up to here is delivered.
    pub settled: i64,
    /// The oldest cursor that can be resumed.
    pub floor: i64,
}

/// A device as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeviceDocument {
    pub device_id: String,
    pub cursor: i64,
    pub last_seen_at: DateTime,
    pub transport: String,
    /// What its last resume had not brought as new yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
}

/// Who holds a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RegistrationDocument {
    pub user_id: String,
    pub device_id: String,
}

/// What was answered under an idempotency key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyDocument {
    #[serde(rename = "_id")]
    pub key: String,
    pub fingerprint: Binary,
    pub receipts: Vec<ReceiptDocument>,
    pub note: Binary,
    pub created_at: DateTime,
}

/// One stored notification of a remembered answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReceiptDocument {
    pub user_id: String,
    pub id: Uuid,
    pub seq: i64,
}

impl ReceiptDocument {
    pub fn of(receipt: &Receipt) -> Self {
        let Receipt { user_id, id, seq } = receipt;
        Self { user_id: user_id.as_str().to_owned(), id: uuid(*id), seq: bound(*seq) }
    }

    pub fn into_receipt(self) -> Result<Receipt, Failure> {
        Ok(Receipt { user_id: user(&self.user_id)?, id: id(self.id), seq: number(self.seq) })
    }
}

/// A user whose name lies in the database.
pub(crate) fn user(name: &str) -> Result<UserId, Failure> {
    UserId::stored(name)
        .map_err(|error| Failure::Damaged(format!("a user of the database has no legal name: {error}")))
}

/// A device whose name lies in the database.
pub(crate) fn device(name: &str) -> Result<DeviceId, Failure> {
    DeviceId::stored(name)
        .map_err(|error| Failure::Damaged(format!("a device of the database has no legal name: {error}")))
}
