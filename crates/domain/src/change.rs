use crate::{MarkOp, MarkTarget, Notification, Revision, UserId};
use serde::Serialize;

/// An inbox's numbers: exact, and of the same moment. `total` counts what is neither deleted, archived nor expired;
/// the other two count among those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Not read.
    pub unread: u64,
    /// Not seen.
    pub unseen: u64,
    /// All.
    pub total: u64,
}

/// One committed change of one inbox: what its devices must learn.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose inbox.
    pub user_id: UserId,
    /// The change's number; the one before it is `rev - 1`.
    pub rev: Revision,
    /// The inbox's numbers right after it.
    pub counts: Counts,
    /// What happened.
    pub kind: Kind,
}

/// What happened in a change.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A new notification.
    Sent(Box<Notification>),
    /// An edit; the notification after it.
    Edited(Box<Notification>),
    /// A change of state (also an expiry, which is a delete).
    Marked {
        /// What was done.
        op: MarkOp,
        /// Where: with ids, exactly those that changed.
        target: MarkTarget,
        /// Only to those of this category.
        category: Option<String>,
    },
}
