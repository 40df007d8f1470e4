//! What a change looks like on the wire, encoded once for all the devices that get it.

use serde::Serialize;
use tidings_domain::{
    Change, Counts, Cursor, Entry, Epoch, Kind, MarkTarget, Notification, NotificationId, Revision,
};
use tidings_socketio::{EncodeError, Packet};

/// One event: everything of one revision.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The revision up to which its reader must have been served before.
    pub prev: Revision,
    /// The revision that it serves up to.
    pub rev: Revision,
    /// How many notifications it carries or touches, at least 1; what a window of unproven items counts.
    pub items: usize,
    /// The bytes.
    pub packet: Packet,
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
}

fn offset(epoch: &Epoch, rev: Revision) -> String {
    Cursor { epoch: epoch.clone(), rev }.to_string()
}

fn new_notification(
    epoch: &Epoch,
    prev: Revision,
    notification: &Notification,
    counts: Counts,
) -> Result<Frame, EncodeError> {
    let rev = notification.rev;
    let packet =
        Packet::event("send_notification", &(notification, Badge { prev, counts }, offset(epoch, rev)))?;
    Ok(Frame { prev, rev, items: 1, packet })
}

fn update(epoch: &Epoch, update: &Update<'_>, counts: Counts, items: usize) -> Result<Frame, EncodeError> {
    let (prev, rev) = (update.prev, update.rev);
    let packet = Packet::event("notification_updated", &(update, counts, offset(epoch, rev)))?;
    Ok(Frame { prev, rev, items: items.max(1), packet })
}

impl Frame {
    /// A change as those see it who have everything before it.
    pub fn of_change(epoch: &Epoch, change: &Change) -> Result<Self, EncodeError> {
        let Change { rev, counts, kind, .. } = change;
        let prev = rev.saturating_sub(1);
        let bare =
            Update { rev: *rev, prev, op: "", ids: None, up_to: None, category: None, notifications: None };
        match kind {
            Kind::Sent(notification) => new_notification(epoch, prev, notification, *counts),
            Kind::Edited(notification) => {
                let ids = [notification.id];
                let entries = [Entry::Live(notification.clone())];
                let edit = Update { op: "edit", ids: Some(&ids), notifications: Some(&entries), ..bare };
                update(epoch, &edit, *counts, 1)
            }
            Kind::Marked { op, target, category } => {
                let marked = Update { op: op.as_str(), category: category.as_deref(), ..bare };
                match target {
                    MarkTarget::Ids(ids) => {
                        update(epoch, &Update { ids: Some(ids), ..marked }, *counts, ids.len())
                    }
                    MarkTarget::UpTo(up_to) => {
                        update(epoch, &Update { up_to: Some(*up_to), ..marked }, *counts, 1)
                    }
                }
            }
        }
    }

    /// One revision of a resume: the notifications that it last changed, in their present state. A single one that this
    /// reader never had is a new notification to it; everything else is told as a `sync`.
    pub fn of_revision(
        epoch: &Epoch,
        prev: Revision,
        entries: &[Entry],
        is_new: impl Fn(&Entry) -> bool,
        counts: Counts,
    ) -> Result<Self, EncodeError> {
        match entries {
            [entry @ Entry::Live(notification)] if is_new(entry) => {
                new_notification(epoch, prev, notification, counts)
            }
            _ => {
                let rev = entries.first().map_or(prev, Entry::rev);
                let sync = Update {
                    rev,
                    prev,
                    op: "sync",
                    ids: None,
                    up_to: None,
                    category: None,
                    notifications: Some(entries),
                };
                update(epoch, &sync, counts, entries.len())
            }
        }
    }
}
