use crate::{Content, NotificationId, Revision, Timestamp, UserId};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Whether a device confirmed a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No device has confirmed it.
    Pending,
    /// A device confirmed that it arrived.
    Delivered,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
        }
    }
}

/// What has happened to a notification. Each time is set exactly when its flag is, so that the two never disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// When a device first confirmed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// When it was seen; reading implies it, making unread again does not undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// When it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// When it was archived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
}

impl State {
    /// `pending` or `delivered`.
    pub fn status(&self) -> Status {
        if self.delivered_at.is_some() { Status::Delivered } else { Status::Pending }
    }

    /// The time of what happens at `now` to a notification in this state. It is later than `now` where the clock was set back
    /// since, or where another node's is ahead: the times of one notification never run backwards.
    pub fn moment(&self, now: Timestamp, created_at: Timestamp, edited_at: Option<Timestamp>) -> Timestamp {
        let State { delivered_at, seen_at, read_at, archived_at } = *self;
        let before = [Some(created_at), delivered_at, seen_at, read_at, archived_at, edited_at];
        before.into_iter().flatten().fold(now, Timestamp::max)
    }
}

/// A notification of one user, in its present state.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// Whose it is.
    pub user_id: UserId,
    /// The revision that created it; never changes.
    pub seq: Revision,
    /// The revision that last changed it.
    pub rev: Revision,
    /// What it says.
    pub content: Content,
    /// What has happened to it.
    pub state: State,
    /// When it was stored.
    pub timestamp: Timestamp,
    /// When its text was last edited.
    pub edited_at: Option<Timestamp>,
    /// When it vanishes by itself.
    pub expires_at: Option<Timestamp>,
}

/// What is left of a deleted notification until retention removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The id it had.
    pub id: NotificationId,
    /// The revision that created it.
    pub seq: Revision,
    /// The revision that deleted it.
    pub rev: Revision,
}

/// One row of an inbox's log, in its present state.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A notification.
    Live(Box<Notification>),
    /// A deleted one.
    Deleted(Tombstone),
}

impl Entry {
    /// The revision that last changed it.
    pub fn rev(&self) -> Revision {
        match self {
            Self::Live(notification) => notification.rev,
            Self::Deleted(tombstone) => tombstone.rev,
        }
    }

    /// The revision that created it.
    pub fn seq(&self) -> Revision {
        match self {
            Self::Live(notification) => notification.seq,
            Self::Deleted(tombstone) => tombstone.seq,
        }
    }

    /// Its id.
    pub fn id(&self) -> NotificationId {
        match self {
            Self::Live(notification) => notification.id,
            Self::Deleted(tombstone) => tombstone.id,
        }
    }
}

impl Serialize for Notification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Content { title, message, data, category, priority, url, avatar, actions } = &self.content;
        let State { delivered_at, seen_at, read_at, archived_at } = &self.state;
        let mut out = serializer.serialize_struct("Notification", 22)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("user_id", &self.user_id)?;
        out.serialize_field("seq", &self.seq)?;
        out.serialize_field("rev", &self.rev)?;
        out.serialize_field("title", title)?;
        out.serialize_field("message", message)?;
        out.serialize_field("data", data)?;
        out.serialize_field("category", category)?;
        out.serialize_field("priority", priority)?;
        out.serialize_field("url", url)?;
        out.serialize_field("avatar", avatar)?;
        out.serialize_field("actions", actions)?;
        out.serialize_field("status", self.state.status().as_str())?;
        out.serialize_field("is_read", &read_at.is_some())?;
        out.serialize_field("is_seen", &seen_at.is_some())?;
        out.serialize_field("is_archived", &archived_at.is_some())?;
        out.serialize_field("timestamp", &self.timestamp)?;
        out.serialize_field("delivered_at", delivered_at)?;
        out.serialize_field("seen_at", seen_at)?;
        out.serialize_field("read_at", read_at)?;
        out.serialize_field("archived_at", archived_at)?;
        out.serialize_field("expires_at", &self.expires_at)?;
        out.end()
    }
}

impl Serialize for Tombstone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Tombstone", 4)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("seq", &self.seq)?;
        out.serialize_field("rev", &self.rev)?;
        out.serialize_field("deleted", &true)?;
        out.end()
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Live(notification) => notification.serialize(serializer),
            Self::Deleted(tombstone) => tombstone.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_every_field_of_the_contract() {
        let notification = Notification {
            id: NotificationId::parse("0198c0de-0000-7000-8000-000000000001").unwrap(),
            user_id: UserId::new("ana").unwrap(),
            seq: 41,
            rev: 44,
            content: Content::text("hello"),
            state: State { read_at: Some(Timestamp::from_millis(0)), ..State::default() },
            timestamp: Timestamp::from_millis(0),
            edited_at: None,
            expires_at: None,
        };
        let expected = concat!(
            r#"{"id":"0198c0de-0000-7000-8000-000000000001","user_id":"ana","seq":41,"rev":44,"title":"","#,
            r#""message":"hello","data":{},"category":null,"priority":"normal","url":null,"avatar":null,"#,
            r#""actions":[],"status":"pending","is_read":true,"is_seen":false,"is_archived":false,"#,
            r#""timestamp":"1970-01-01T00:00:00.000Z","delivered_at":null,"seen_at":null,"#,
            r#""read_at":"1970-01-01T00:00:00.000Z","archived_at":null,"expires_at":null}"#,
        );
        assert_eq!(serde_json::to_string(&notification).unwrap(), expected);
    }
}
