use crate::{Fingerprint, Receipt};
use serde::{Deserialize, Serialize};
use tidings_domain::{Content, DeviceId, NotificationId, Revision, State, Timestamp, UserId};

/// One thing that a store holds; one line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A notification that is not deleted.
    Notification(Box<ItemRecord>),
    /// What is left of a deleted one.
    Tombstone(TombstoneRecord),
    /// A device.
    Device(DeviceRecord),
    /// An inbox, after what it holds.
    Inbox(InboxRecord),
    /// The end of a user's sessions.
    Revocation(RevocationRecord),
    /// What is remembered of a send.
    Idempotency(KeyRecord),
}

/// A notification that is not deleted. It may be due to expire, or past retention: the next upkeep sees to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRecord {
    /// Whose it is.
    pub user_id: UserId,
    /// Its id.
    pub id: NotificationId,
    /// The revision that created it.
    pub seq: Revision,
    /// The revision that last changed it.
    pub rev: Revision,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When its text was last edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// When it vanishes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What replaces it, and what it replaced, have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse_key: Option<String>,
    /// What has happened to it.
    pub state: State,
    /// What it says.
    pub content: Content,
}

/// What is left of a deleted notification.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TombstoneRecord {
    /// Whose it was.
    pub user_id: UserId,
    /// The id it had.
    pub id: NotificationId,
    /// The revision that created it.
    pub seq: Revision,
    /// The revision that deleted it.
    pub rev: Revision,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was deleted; retention counts from here.
    pub deleted_at: Timestamp,
}

/// A device, and its connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRecord {
    /// Whose it is.
    pub user_id: UserId,
    /// Its id.
    pub device_id: DeviceId,
    /// What it last confirmed, at first where it started.
    pub cursor: Revision,
    /// When it last registered or confirmed something.
    pub last_seen_at: Timestamp,
    /// How it last came: `websocket`, `polling`, `sse` or `http`.
    pub transport: String,
    /// The connections whose registration it last was; any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Connection>,
}

/// A connection that can restore its registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Its name.
    pub pid: String,
    /// When it last registered.
    pub at: Timestamp,
}

/// An inbox. What can be counted or found out from what it holds is not carried.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboxRecord {
    /// Whose it is.
    pub user_id: UserId,
    /// The newest revision.
    pub head: Revision,
    /// The oldest cursor that can be resumed.
    pub floor: Revision,
    /// The furthest revision that any device has confirmed.
    pub confirmed: Revision,
}

/// The end of a user's sessions; the user may have no inbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationRecord {
    /// Whose.
    pub user_id: UserId,
    /// What was signed before opens nothing any more.
    pub at: Timestamp,
}

/// What is remembered of a send with an idempotency key; only keys younger than [`crate::IDEMPOTENCY_TTL`] are exported.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// The sender's key.
    pub key: String,
    /// Of the route and the body; hexadecimal in the file.
    #[serde(with = "hexadecimal")]
    pub fingerprint: Fingerprint,
    /// What was answered.
    pub receipts: Vec<Receipt>,
    /// What was noted; base64 in the file.
    #[serde(with = "base64")]
    pub note: Vec<u8>,
    /// When it was used.
    pub created_at: Timestamp,
}

mod hexadecimal {
    use crate::Fingerprint;
    use data_encoding::HEXLOWER;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Fingerprint, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fingerprint, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| D::Error::custom("must be 64 hexadecimal digits"))
    }
}

mod base64 {
    use data_encoding::BASE64;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(|_| D::Error::custom("must be base64"))
    }
}
