//! What a change looks like on the wire, encoded once for all the devices that get it.

use serde::Serialize;
use tidings_domain::{
    Change, Counts, Cursor, Entry, Epoch, Kind, MarkTarget, Notification, NotificationId, Revision, Unserved,
};
use tidings_socketio::{EncodeError, Packet};

/// One event: everything of one revision, or a part of a large one.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The revision up to which its reader must have been served before.
    pub prev: Revision,
    /// The revision that it is of.
    pub rev: Revision,
    /// Where its reader stands when it has it: `rev`, or `prev` while more parts follow.
    pub reached: Revision,
    /// The bytes.
    pub packet: Packet,
}

/// Which part of a revision an event brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    /// From 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

impl Part {
    /// Whether it is the last one.
    pub fn is_last(self) -> bool {
        self.index + 1 >= self.of
    }
}

#[derive(Serialize)]
struct Badge {
    prev: Revision,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct Update<'a> {
    rev: Revision,
    prev: Revision,
    op: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<&'a [NotificationId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notifications: Option<&'a [Entry]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
}

impl<'a> Update<'a> {
    fn new(prev: Revision, rev: Revision, op: &'static str) -> Self {
        Self { rev, prev, op, ids: None, up_to: None, category: None, notifications: None, part: None }
    }
}

fn new_notification(
    prev: Revision,
    notification: &Notification,
    counts: Counts,
    offset: &Cursor,
) -> Result<Frame, EncodeError> {
    let packet =
        Packet::event("send_notification", &(notification, Badge { prev, counts }, offset.to_string()))?;
    Ok(Frame { prev, rev: notification.rev, reached: offset.rev, packet })
}

fn update(update: &Update<'_>, counts: Counts, offset: &Cursor) -> Result<Frame, EncodeError> {
    let packet = Packet::event("notification_updated", &(update, counts, offset.to_string()))?;
    Ok(Frame { prev: update.prev, rev: update.rev, reached: offset.rev, packet })
}

impl Frame {
    /// A change as those see it who have everything before it.
    pub fn of_change(epoch: &Epoch, change: &Change) -> Result<Self, EncodeError> {
        let Change { rev, counts, kind, .. } = change;
        let prev = rev.saturating_sub(1);
        let offset = Cursor { epoch: epoch.clone(), rev: *rev, unserved: Unserved::default() };
        match kind {
            Kind::Sent(notification) => new_notification(prev, notification, *counts, &offset),
            Kind::Edited(notification) => {
                let ids = [notification.id];
                let entries = [Entry::Live(notification.clone())];
                let bare = Update::new(prev, *rev, "edit");
                let edit = Update { ids: Some(&ids), notifications: Some(&entries), ..bare };
                update(&edit, *counts, &offset)
            }
            Kind::Marked { op, target, category } => {
                let bare = Update { category: category.as_deref(), ..Update::new(prev, *rev, op.as_str()) };
                let marked = match target {
                    MarkTarget::Ids(ids) => Update { ids: Some(ids), ..bare },
                    MarkTarget::UpTo(up_to) => Update { up_to: Some(*up_to), ..bare },
                };
                update(&marked, *counts, &offset)
            }
        }
    }

    /// One revision of a resume: the notifications that it last changed, in their present state. A single one that this
    /// reader never had is a new notification to it; everything else is told as a `sync`. `offset` is where the reader
    /// stands then.
    pub fn of_revision(
        prev: Revision,
        entries: &[Entry],
        is_new: impl Fn(&Entry) -> bool,
        counts: Counts,
        offset: &Cursor,
    ) -> Result<Self, EncodeError> {
        match entries {
            [entry @ Entry::Live(notification)] if is_new(entry) => {
                new_notification(prev, notification, counts, offset)
            }
            _ => {
                let sync = Update::new(prev, offset.rev, "sync");
                update(&Update { notifications: Some(entries), ..sync }, counts, offset)
            }
        }
    }

    /// A part of a revision that is larger than one event. `offset` is where the reader stands with it.
    pub fn of_part(
        (prev, rev): (Revision, Revision),
        entries: &[Entry],
        part: Part,
        counts: Counts,
        offset: &Cursor,
    ) -> Result<Self, EncodeError> {
        let sync = Update::new(prev, rev, "sync");
        update(&Update { notifications: Some(entries), part: Some(part), ..sync }, counts, offset)
    }
}
