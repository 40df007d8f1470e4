//! What the original system stored, as Tidings stores it. Pure: [`originals`](crate::originals) reads it, and gives plain values.
//!
//! The collection is `notifications`, its documents `{_id, send_to, message, status, createdAt, updatedAt}`; other fields
//! are passed over. The rules:
//!
//! - **Ids.** The id is a UUIDv7 made of the ObjectId alone: the same document becomes the same notification each time,
//!   two documents never the same one, and ids sort as ObjectIds do.
//! - **Order.** An inbox's revisions follow the order of `_id`; each notification takes one.
//! - **Time.** `createdAt`; the ObjectId's own time where that is missing, no date or in the future.
//! - **Delivered.** `status: "delivered"` counts as delivered at `updatedAt`; anything else as pending. A device that the
//!   inbox does not know begins at the first pending one, as it did there.
//! - **State.** Unread, unseen and not archived: the original knew of none of it. The title is `""`.
//! - **Left out**, each with its reason, is what cannot be a notification here: no ObjectId, no legal user, no text, or a
//!   text beyond the limit. A text is never cut.

use std::fmt;
use tidings_domain::{Content, NotificationId, Revision, State, Timestamp, UserId, limits};
use tidings_store::transfer::{InboxRecord, ItemRecord};
use uuid::Uuid;

/// A field of a document that nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// There is none, or `null`.
    #[default]
    Missing,
    /// It is of another type.
    Other,
    /// It is there.
    Is(T),
}

impl<T> Field<T> {
    fn get(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Missing | Self::Other => None,
        }
    }
}

/// One document of the original's collection.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// `_id`, an ObjectId.
    pub id: Field<[u8; 12]>,
    /// `send_to`, a text.
    pub send_to: Field<String>,
    /// `message`, a text.
    pub message: Field<String>,
    /// `status`, a text.
    pub status: Field<String>,
    /// `createdAt`, a date.
    pub created_at: Field<Timestamp>,
    /// `updatedAt`, a date.
    pub updated_at: Field<Timestamp>,
}

/// Why a document was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// `_id` is no ObjectId.
    Id,
    /// `send_to` is no user; why.
    User(String),
    /// `message` is missing, empty or no text.
    NoText,
    /// `message` is longer than a notification's may be; so many bytes.
    LongText(usize),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("_id is no ObjectId"),
            Self::User(detail) => write!(f, "send_to {detail}"),
            Self::NoText => f.write_str("message is missing, empty or no text"),
            Self::LongText(bytes) => {
                write!(f, "message has {bytes} bytes, more than {}", limits::MESSAGE_BYTES)
            }
        }
    }
}

/// A document that can be a notification.
#[derive(Debug, Clone)]
pub struct Original {
    /// Whose it is.
    pub user_id: UserId,
    id: NotificationId,
    content: Content,
    created_at: Timestamp,
    delivered_at: Option<Timestamp>,
}

impl Original {
    /// Checks a document. Nothing happened after `now`.
    pub fn of(document: Document, now: Timestamp) -> Result<Self, LeftOut> {
        let Document { id, send_to, message, status, created_at, updated_at } = document;
        let id = id.get().ok_or(LeftOut::Id)?;
        let user_id = match send_to {
            Field::Is(text) => UserId::new(&text).map_err(|invalid| {
                LeftOut::User(invalid.0.into_iter().map(|error| error.detail).collect::<Vec<_>>().join("; "))
            })?,
            Field::Missing => return Err(LeftOut::User("is missing".to_owned())),
            Field::Other => return Err(LeftOut::User("is no text".to_owned())),
        };
        let message = message.get().filter(|text| !text.is_empty()).ok_or(LeftOut::NoText)?;
        if message.len() > limits::MESSAGE_BYTES {
            return Err(LeftOut::LongText(message.len()));
        }
        let past = |at: &Timestamp| (Timestamp::from_millis(0)..=now).contains(at);
        let created_at = created_at.get().filter(past).unwrap_or_else(|| made_at(id).min(now));
        let delivered = matches!(status, Field::Is(word) if word == "delivered");
        let delivered_at = delivered.then(|| updated_at.get().filter(past).unwrap_or(created_at));
        Ok(Self {
            user_id,
            id: notification_id(id),
            content: Content::text(message),
            created_at,
            delivered_at,
        })
    }
}

/// The seconds with which an ObjectId begins.
fn seconds(id: [u8; 12]) -> u32 {
    u32::from_be_bytes([id[0], id[1], id[2], id[3]])
}

fn made_at(id: [u8; 12]) -> Timestamp {
    Timestamp::from_millis(i64::from(seconds(id)) * 1_000)
}

/// The ObjectId's seconds where a UUIDv7 has its time, and its other 64 bits at the front of the 74 random ones.
fn notification_id(id: [u8; 12]) -> NotificationId {
    let rest = u64::from_be_bytes([id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11]]);
    let millis = u128::from(seconds(id)) * 1_000;
    let (front, back) = (u128::from(rest >> 52), u128::from(rest & ((1 << 52) - 1)));
    NotificationId::new(Uuid::from_u128(
        (millis << 80) | (0x7 << 76) | (front << 64) | (0b10 << 62) | (back << 10),
    ))
}

/// One user's inbox, as it fills. What it is given must come in the order of `_id`.
#[derive(Debug)]
pub struct OriginalInbox {
    user_id: UserId,
    head: Revision,
    confirmed: Revision,
}

impl OriginalInbox {
    /// An empty one.
    pub fn new(user_id: UserId) -> Self {
        Self { user_id, head: 0, confirmed: 0 }
    }

    /// Whose it is.
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// The next one of this user.
    pub fn take(&mut self, original: Original) -> ItemRecord {
        let Original { user_id, id, content, created_at, delivered_at } = original;
        if delivered_at.is_some() && self.confirmed == self.head {
            self.confirmed += 1;
        }
        self.head += 1;
        ItemRecord {
            user_id,
            id,
            seq: self.head,
            rev: self.head,
            created_at,
            edited_at: None,
            expires_at: None,
            collapse_key: None,
            state: State { delivered_at, ..State::default() },
            content,
        }
    }

    /// It is complete.
    pub fn into_record(self) -> InboxRecord {
        let Self { user_id, head, confirmed } = self;
        InboxRecord { user_id, head, floor: 0, confirmed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    const ID: [u8; 12] = [0x69, 0x03, 0x54, 0xc0, 1, 2, 3, 4, 5, 6, 7, 8];

    fn document() -> Document {
        let text = |text: &str| Field::Is(text.to_owned());
        Document {
            id: Field::Is(ID),
            send_to: text("ana"),
            message: text("Your order was confirmed."),
            status: text("pending"),
            created_at: Field::Is(Timestamp::from_millis(1_761_825_000_123)),
            updated_at: Field::Is(Timestamp::from_millis(1_761_825_009_456)),
        }
    }

    fn left_out(document: Document) -> String {
        Original::of(document, NOW).unwrap_err().to_string()
    }

    fn item(document: Document) -> ItemRecord {
        OriginalInbox::new(UserId::new("ana").unwrap()).take(Original::of(document, NOW).unwrap())
    }

    #[test]
    fn a_pending_one_is_kept_as_it_was() {
        let item = item(document());
        assert_eq!((item.user_id.as_str(), item.seq, item.rev), ("ana", 1, 1));
        assert_eq!(
            (item.content.title.as_str(), item.content.message.as_str()),
            ("", "Your order was confirmed.")
        );
        assert_eq!((item.created_at.as_millis(), item.state), (1_761_825_000_123, State::default()));
        item.content.check().unwrap();
    }

    #[test]
    fn a_delivered_one_was_delivered_when_it_was_updated() {
        let delivered = |updated_at| {
            let status = Field::Is("delivered".to_owned());
            item(Document { status, updated_at, ..document() }).state.delivered_at.unwrap().as_millis()
        };
        assert_eq!(delivered(document().updated_at), 1_761_825_009_456);
        for missing in
            [Field::Missing, Field::Other, Field::Is(NOW.after(std::time::Duration::from_millis(1)))]
        {
            assert_eq!(delivered(missing), 1_761_825_000_123);
        }
        for status in [Field::Missing, Field::Other, Field::Is("Delivered".to_owned())] {
            assert_eq!(item(Document { status, ..document() }).state.delivered_at, None);
        }
    }

    #[test]
    fn without_a_time_the_id_tells_it() {
        let created = |created_at, now| {
            Original::of(Document { created_at, ..document() }, now).unwrap().created_at.as_millis()
        };
        let before = Timestamp::from_millis(-1);
        let later = NOW.after(std::time::Duration::from_millis(1));
        for wrong in [Field::Missing, Field::Other, Field::Is(before), Field::Is(later)] {
            assert_eq!(created(wrong, NOW), 0x6903_54c0 * 1_000);
        }
        assert_eq!(created(Field::Missing, Timestamp::from_millis(5)), 5, "nothing is of the future");
    }

    #[test]
    fn what_cannot_be_a_notification_is_left_out_with_its_reason() {
        for id in [Field::Missing, Field::Other] {
            assert_eq!(left_out(Document { id, ..document() }), "_id is no ObjectId");
        }
        let to = |send_to| left_out(Document { send_to, ..document() });
        assert_eq!(to(Field::Missing), "send_to is missing");
        assert_eq!(to(Field::Other), "send_to is no text");
        assert_eq!(to(Field::Is(String::new())), "send_to must not be empty");
        assert_eq!(to(Field::Is("a\nb".to_owned())), "send_to must not contain control characters");
        assert_eq!(to(Field::Is("x".repeat(129))), "send_to must be at most 128 bytes");
        for message in [Field::Missing, Field::Other, Field::Is(String::new())] {
            assert_eq!(left_out(Document { message, ..document() }), "message is missing, empty or no text");
        }
        let long = |bytes: usize| Document { message: Field::Is("ä".repeat(bytes / 2)), ..document() };
        assert_eq!(left_out(long(4_098)), "message has 4098 bytes, more than 4096");
        assert_eq!(item(long(4_096)).content.message.len(), 4_096);
    }

    #[test]
    fn ids_are_version_7_and_as_many_and_in_the_same_order_as_object_ids() {
        assert_eq!(notification_id(ID).to_string(), "019a3503-0e00-7010-880c-1014181c2000");
        let mut ids = BTreeSet::new();
        // Each bit alone, so that none is lost; and sorted the same.
        for bit in 0..96 {
            let mut other = [0; 12];
            other[bit / 8] = 0x80 >> (bit % 8);
            ids.insert((other, notification_id(other)));
        }
        let sorted: Vec<_> = ids.iter().map(|(_, id)| *id).collect();
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]));
        let version = Uuid::from_bytes(*notification_id([0xff; 12]).as_bytes());
        assert_eq!((version.get_version_num(), version.get_variant()), (7, uuid::Variant::RFC4122));
    }

    #[test]
    fn a_new_device_begins_at_the_first_pending_one() {
        let mut inbox = OriginalInbox::new(UserId::new("ana").unwrap());
        for (at, status) in ["delivered", "delivered", "pending", "delivered"].into_iter().enumerate() {
            let status = Field::Is(status.to_owned());
            let item = inbox.take(Original::of(Document { status, ..document() }, NOW).unwrap());
            assert_eq!((item.seq, item.rev), (at as u64 + 1, at as u64 + 1));
        }
        let InboxRecord { head, floor, confirmed, .. } = inbox.into_record();
        assert_eq!((head, floor, confirmed), (4, 0, 2));
    }
}
