use tidings_domain::{Counts, DeviceId, Entry, Notification, Revision, Timestamp};

/// Which notifications of an inbox, by what was done to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusFilter {
    /// All.
    #[default]
    All,
    /// Not read.
    Unread,
    /// Read.
    Read,
    /// Not seen.
    Unseen,
}

/// Whether archived notifications are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArchivedFilter {
    /// Leave them out.
    #[default]
    Exclude,
    /// With the others.
    Include,
    /// Nothing else.
    Only,
}

/// From where a page of an inbox is taken. The numbers are `seq`s, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Range {
    /// The newest.
    #[default]
    Newest,
    /// The next older ones.
    Before(Revision),
    /// The next newer ones: those nearest to it.
    After(Revision),
}

/// A question to an inbox.
#[derive(Debug, Clone, Default)]
pub struct InboxQuery {
    /// By what was done to them.
    pub status: StatusFilter,
    /// Archived ones too?
    pub archived: ArchivedFilter,
    /// Only of this category.
    pub category: Option<String>,
    /// From where.
    pub range: Range,
    /// How many at most; at least 1.
    pub limit: usize,
}

/// A page of an inbox, newest first whatever the direction.
#[derive(Debug, Clone)]
pub struct InboxPage {
    /// The notifications.
    pub notifications: Vec<Notification>,
    /// The inbox's numbers, unfiltered.
    pub counts: Counts,
    /// The newest revision.
    pub head: Revision,
    /// The oldest cursor that can be resumed.
    pub floor: Revision,
    /// Whether there are more in the direction asked.
    pub has_more: bool,
}

/// A piece of an inbox's log.
#[derive(Debug, Clone)]
pub struct Changes {
    /// In order of revision; whole revisions.
    pub entries: Vec<Entry>,
    /// Go on from here. The head when there is no more.
    pub cursor: Revision,
    /// The newest revision at the time of reading.
    pub head: Revision,
    /// The inbox's numbers at the time of reading.
    pub counts: Counts,
    /// Whether there is more above `cursor`.
    pub has_more: bool,
}

/// Where an inbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Located {
    /// The newest revision.
    pub head: Revision,
    /// The oldest cursor that can be resumed.
    pub floor: Revision,
    /// The inbox's numbers.
    pub counts: Counts,
    /// The furthest revision that any device of this user has confirmed.
    pub confirmed: Revision,
    /// What the device asked for last confirmed, at first where it started. `None`: not known.
    pub device: Option<Revision>,
}

/// A device as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub device_id: DeviceId,
    /// What it last confirmed, at first where it started.
    pub cursor: Revision,
    /// When it last registered or confirmed something.
    pub last_seen_at: Timestamp,
    /// How it last came: `websocket`, `polling`, `sse` or `http`.
    pub transport: String,
}
