use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::{
    Action, Content, Counts, DeviceId, NotificationId, Priority, Revision, Timestamp, UserId,
};

/// A notification on its way into one inbox; its content has been checked.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Whose inbox.
    pub user_id: UserId,
    /// Its id, new.
    pub id: NotificationId,
    /// What it says; shared when many get the same.
    pub content: Arc<Content>,
    /// From this moment on it has vanished by itself.
    pub expires_at: Option<Timestamp>,
    /// Replaces what is unread and has the same key.
    pub collapse_key: Option<Arc<str>>,
}

/// A digest of what was asked, to tell a retry from another request.
pub type Fingerprint = [u8; 32];

/// Makes a send safe to repeat.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The sender's key.
    pub key: String,
    /// Of the route and the body.
    pub fingerprint: Fingerprint,
    /// Kept and given back on a replay, for what the caller needs to build the same answer. At most 4 MiB.
    pub note: Vec<u8>,
}

/// One stored notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Whose inbox.
    pub user_id: UserId,
    /// Its id.
    pub id: NotificationId,
    /// The revision that created it.
    pub seq: Revision,
}

/// The answer to an append; one receipt an item, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Stored now.
    Stored(Vec<Receipt>),
    /// Was stored before, under the same key.
    Replayed {
        /// What was answered then.
        receipts: Vec<Receipt>,
        /// What was noted then.
        note: Vec<u8>,
    },
}

/// What an edit sets; `None` leaves a field as it is. For fields that may be absent, `Some(None)` clears.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// The title; empty clears.
    pub title: Option<String>,
    /// The text.
    pub message: Option<String>,
    /// `data`, a JSON object.
    pub data: Option<Box<serde_json::value::RawValue>>,
    /// The category.
    pub category: Option<Option<String>>,
    /// How much it presses.
    pub priority: Option<Priority>,
    /// Where a click leads.
    pub url: Option<Option<String>>,
    /// The picture.
    pub avatar: Option<Option<String>>,
    /// The buttons.
    pub actions: Option<Vec<Action>>,
    /// When it vanishes by itself.
    pub expires_at: Option<Option<Timestamp>>,
}

impl Edit {
    /// The content after this edit, and whether it differs.
    pub fn apply(&self, content: &Content) -> (Content, bool) {
        fn set<T: Clone + PartialEq>(field: &mut T, value: &Option<T>) -> bool {
            match value {
                Some(value) if value != field => {
                    field.clone_from(value);
                    true
                }
                _ => false,
            }
        }
        let mut next = content.clone();
        let mut changed = set(&mut next.title, &self.title);
        changed |= set(&mut next.message, &self.message);
        changed |= set(&mut next.category, &self.category);
        changed |= set(&mut next.priority, &self.priority);
        changed |= set(&mut next.url, &self.url);
        changed |= set(&mut next.avatar, &self.avatar);
        changed |= set(&mut next.actions, &self.actions);
        if let Some(data) = &self.data
            && data.get() != next.data.get()
        {
            next.data.clone_from(data);
            changed = true;
        }
        (next, changed)
    }
}

/// The answer to a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// The revision it took; the head when it changed nothing.
    pub rev: Revision,
    /// How many notifications it changed.
    pub changed: u64,
    /// The inbox's numbers after it.
    pub counts: Counts,
}

/// A device that attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The device.
    pub device_id: DeviceId,
    /// The connection's name, which restores the registration.
    pub pid: Option<String>,
    /// Where it starts, when it is not known yet.
    pub start: Revision,
    /// How it came: `websocket`, `polling`, `sse` or `http`.
    pub transport: &'static str,
}

/// One slice of upkeep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// How long notifications are kept (from when they were created), then again as a tombstone (from when they were
    /// deleted), and devices (from when they were last seen). What is older goes.
    pub retention: Duration,
    /// About how many rows one slice touches. What is due in one inbox goes whole, as one revision.
    pub limit: usize,
}

/// What a slice of upkeep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Notifications that expired.
    pub expired: u64,
    /// Notifications that retention deleted.
    pub retired: u64,
    /// Tombstones that retention removed.
    pub purged: u64,
    /// Whether there is more to do now.
    pub more: bool,
}
