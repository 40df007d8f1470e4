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
#[derive(Debug, Clone)]
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
    /// How many bytes of JSON at most, beside the last one.
    pub bytes: usize,
}

impl Default for InboxQuery {
    fn default() -> Self {
        Self {
            status: StatusFilter::All,
            archived: ArchivedFilter::Exclude,
            category: None,
            range: Range::Newest,
            limit: 0,
            bytes: PAGE_BYTES,
        }
    }
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

/// How much one page or one event holds beside its last item, in bytes of JSON; the contract's figure.
pub const PAGE_BYTES: usize = 256 * 1024;

/// A place within one revision: after the notification of this `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inside {
    /// The revision.
    pub rev: Revision,
    /// Everything of it up to this one is known.
    pub seq: Revision,
}

/// A question to an inbox's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangesQuery {
    /// What lies above this.
    pub since: Revision,
    /// The rest of one revision, which did not fit into the page before; and nothing after it.
    pub inside: Option<Inside>,
    /// About how many notifications, at least 1: the page ends with the revision that reaches it.
    pub limit: usize,
    /// How many bytes of JSON at most, beside the last notification.
    pub bytes: usize,
}

impl ChangesQuery {
    /// What lies above `since`, about `limit` notifications, bounded by [`PAGE_BYTES`].
    pub fn new(since: Revision, limit: usize) -> Self {
        Self { since, inside: None, limit, bytes: PAGE_BYTES }
    }
}

/// A piece of an inbox's log.
#[derive(Debug, Clone)]
pub struct Changes {
    /// In order of revision, within one in order of `seq`. Whole revisions, unless `next` says otherwise.
    pub entries: Vec<Entry>,
    /// Everything up to here is complete with this page: never inside a revision. The head when there is no more.
    pub cursor: Revision,
    /// The page ends within a revision that is larger than a page: the rest of it follows from here.
    pub next: Option<Inside>,
    /// The newest revision at the time of reading.
    pub head: Revision,
    /// The inbox's numbers at the time of reading.
    pub counts: Counts,
    /// Whether there is more above `cursor`.
    pub has_more: bool,
}

/// Where an inbox stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// What was last noted of that device's resume ([`crate::Store::note_resume`]).
    pub resume: Option<String>,
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
