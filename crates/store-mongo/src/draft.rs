use crate::documents::{After, Head, INBOXES, Item, Step, bound, date, id, time, uuid};
use crate::failure::Failure;
use crate::writes::Writes;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, Uuid, bson, doc, serialize_to_raw_document_buf};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use tidings_domain::{
    Change, Content, Counts, Kind, MarkOp, MarkTarget, Notification, Reach, Revision, State, Timestamp,
    UserId,
};
use tidings_store::{Outgoing, Receipt};

/// How many keys one statement names.
const KEYS: usize = 10_000;

/// A notification that an operation will change: what lies in the database of it, as far as that matters.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Found {
    #[serde(rename = "_id")]
    pub id: Uuid,
    pub key: i64,
    created_at: DateTime,
    #[serde(default)]
    delivered_at: Option<DateTime>,
    #[serde(default)]
    read_at: Option<DateTime>,
    #[serde(default)]
    seen_at: Option<DateTime>,
    #[serde(default)]
    archived_at: Option<DateTime>,
    #[serde(default)]
    edited_at: Option<DateTime>,
}

impl Found {
    /// What is read of it.
    pub(crate) fn fields() -> Document {
        doc! {
            "key": 1, "created_at": 1, "delivered_at": 1, "read_at": 1, "seen_at": 1, "archived_at": 1, "edited_at": 1,
        }
    }

    /// What it counts for in its inbox's numbers, were it not archived.
    pub(crate) fn weight(&self) -> Counts {
        Counts {
            total: 1,
            unread: u64::from(self.read_at.is_none()),
            unseen: u64::from(self.seen_at.is_none()),
        }
    }

    /// The time of what happens to it at `now`.
    fn moment(&self, now: Timestamp) -> Timestamp {
        let state = State {
            delivered_at: self.delivered_at.map(time),
            seen_at: self.seen_at.map(time),
            read_at: self.read_at.map(time),
            archived_at: self.archived_at.map(time),
        };
        state.moment(now, time(self.created_at), self.edited_at.map(time))
    }

    pub(crate) fn is_archived(&self) -> bool {
        self.archived_at.is_some()
    }

    pub(crate) fn of(item: &Item) -> Self {
        Self {
            id: item.id,
            key: item.key,
            created_at: item.created_at,
            delivered_at: item.delivered_at,
            read_at: item.read_at,
            seen_at: item.seen_at,
            archived_at: item.archived_at,
            edited_at: item.edited_at,
        }
    }
}

/// What an operation makes of one inbox, thought out above its newest revision and not written yet.
///
/// It is written by inserting the documents of the revisions that follow. Somebody else who did so first makes that fail,
/// by the unique index, and then it is thought out again: so what was read after the head was read needs no lock.
pub(crate) struct Draft {
    pub user_id: UserId,
    pub head: Head,
    now: Timestamp,
    /// New notifications.
    items: Vec<Item>,
    /// Other revisions.
    steps: Vec<Step>,
    /// What becomes of documents that lie in the database.
    statements: Vec<Document>,
    changes: Vec<Change>,
    /// What this draft deletes of what is stored.
    deleted: HashSet<i64>,
    /// What counts, but is due already.
    due: Counts,
}

impl Draft {
    /// Above `head`; nothing that counts there is due.
    pub(crate) fn new(user_id: UserId, head: Head, now: Timestamp) -> Self {
        Self {
            user_id,
            head,
            now,
            items: Vec::new(),
            steps: Vec::new(),
            statements: Vec::new(),
            changes: Vec::new(),
            deleted: HashSet::new(),
            due: Counts::default(),
        }
    }

    /// The inbox's numbers at this moment.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            total: self.head.counted.total.saturating_sub(self.due.total),
            unread: self.head.counted.unread.saturating_sub(self.due.unread),
            unseen: self.head.counted.unseen.saturating_sub(self.due.unseen),
        }
    }

    /// A new notification.
    pub(crate) fn send(&mut self, outgoing: &Outgoing) -> Receipt {
        self.head.rev += 1;
        let one = Counts { total: 1, unread: 1, unseen: 1 };
        add(&mut self.head.counted, one);
        self.expects(outgoing.expires_at, one);
        let notification = Notification {
            id: outgoing.id,
            user_id: self.user_id.clone(),
            seq: self.head.rev,
            rev: self.head.rev,
            content: Content::clone(&outgoing.content),
            state: State::default(),
            timestamp: self.now,
            edited_at: None,
            expires_at: outgoing.expires_at,
        };
        self.items.push(Item::new(outgoing, &self.head, self.now));
        self.announce(Kind::Sent(Box::new(notification)));
        Receipt { user_id: self.user_id.clone(), id: outgoing.id, seq: self.head.rev }
    }

    /// Something that counts `weight` will expire at `at`, perhaps now.
    pub(crate) fn expects(&mut self, at: Option<Timestamp>, weight: Counts) {
        self.head.expects(at);
        if at.is_some_and(|at| at <= self.now) {
            add(&mut self.due, weight);
        }
    }

    /// The new ones of this draft that `wanted` chooses and that are not deleted.
    pub(crate) fn find_new(&self, wanted: impl Fn(&Item) -> bool) -> Vec<Found> {
        self.items.iter().filter(|item| item.deleted_at.is_none() && wanted(item)).map(Found::of).collect()
    }

    /// What this draft deletes of what is stored; the database still has it.
    pub(crate) fn deleted(&self) -> impl Iterator<Item = i64> + '_ {
        self.deleted.iter().copied()
    }

    /// Leaves those out.
    pub(crate) fn leave_out_deleted(&self, found: &mut Vec<Found>) {
        found.retain(|one| !self.deleted.contains(&one.key));
    }

    /// The next moment at which a new one of this draft expires, later than now.
    pub(crate) fn next_expiry_of_new(&self) -> Option<Timestamp> {
        let live = self.items.iter().filter(|item| item.deleted_at.is_none());
        live.filter_map(|item| item.expires_at.map(crate::documents::time)).filter(|at| *at > self.now).min()
    }

    /// Nothing is due any more.
    pub(crate) fn is_swept(&mut self) {
        self.due = Counts::default();
    }

    /// Changes these, as the inbox's next revision. They must be live ones that `op` changes, each once, and not none.
    pub(crate) fn change(&mut self, op: MarkOp, found: &[Found], target: MarkTarget, category: Option<&str>) {
        let rev = self.step(op.as_str());
        let mut weight = Counts::default();
        for one in found.iter().filter(|one| op == MarkOp::Unarchive || !one.is_archived()) {
            add(&mut weight, one.weight());
        }
        shift(&mut self.head.counted, op, weight);
        let first_new = self.items.first().map_or(i64::MAX, |item| item.key);
        let (new, stored): (Vec<&Found>, Vec<&Found>) = found.iter().partition(|one| one.key >= first_new);
        for item in self.items.iter_mut().filter(|item| new.iter().any(|one| one.key == item.key)) {
            apply(op, item, rev, self.now);
        }
        // What was read before something else was thought out for it is written in the same order.
        if op == MarkOp::Delete {
            self.deleted.extend(stored.iter().map(|one| one.key));
        }
        // One time for all of them, except where the clock was set back since something happened to one: that one's own.
        let mut moments: BTreeMap<Timestamp, (Vec<i64>, Vec<i64>)> = BTreeMap::new();
        for one in &stored {
            let moment = if sets_a_time(op) { one.moment(self.now) } else { self.now };
            let (keys, unseen) = moments.entry(moment).or_default();
            keys.push(one.key);
            if op == MarkOp::Read && one.seen_at.is_none() {
                unseen.push(one.key);
            }
        }
        for (moment, (keys, unseen)) in moments {
            self.update(&keys, sets(op, rev, moment));
            self.update(&unseen, doc! { "$set": { "seen_at": date(moment) } });
        }
        self.announce(Kind::Marked { op, target, category: category.map(str::to_owned) });
    }

    /// The ids of these, for a target.
    pub(crate) fn ids(found: &[Found]) -> MarkTarget {
        MarkTarget::Ids(found.iter().map(|one| id(one.id)).collect())
    }

    /// Takes the next revision for something that is not a new notification.
    pub(crate) fn step(&mut self, what: &str) -> Revision {
        self.head.rev += 1;
        self.steps.push(Step {
            id: ObjectId::new(),
            user_id: self.user_id.as_str().to_owned(),
            key: bound(self.head.rev),
            step: what.to_owned(),
            stepped_at: date(self.now),
            after: After::default(),
        });
        self.head.rev
    }

    /// What becomes of the stored notifications with these keys.
    pub(crate) fn update(&mut self, keys: &[i64], change: Document) {
        for keys in keys.chunks(KEYS) {
            self.statements.push(doc! {
                "q": { "user_id": self.user_id.as_str(), "key": { "$in": keys } },
                "u": change.clone(),
                "multi": true
            });
        }
    }

    /// Devices must learn this; it takes the head. The last thing of a revision, since it notes the numbers after it.
    pub(crate) fn announce(&mut self, kind: Kind) {
        let rev = bound(self.head.rev);
        if let Some(step) = self.steps.last_mut().filter(|step| step.key == rev) {
            step.after = self.head.after();
        }
        let counts = self.counts();
        self.changes.push(Change { user_id: self.user_id.clone(), rev: self.head.rev, counts, kind });
    }

    /// Whether it begins its inbox.
    pub(crate) fn is_first(&self) -> bool {
        self.items.first().is_some_and(|item| item.key == 1)
    }

    /// The new notifications, when there is nothing else to write.
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// What becomes of the notifications that are stored. To be written before the revisions, since those make it visible
    /// where nothing else does.
    pub(crate) fn write_statements(&self, writes: &mut Writes) {
        self.statements.iter().for_each(|statement| writes.update(INBOXES, statement.clone()));
    }

    /// The revisions, in order. Where somebody else took one of them, none of this is written.
    pub(crate) fn write_revisions(&self, writes: &mut Writes) -> Result<(), Failure> {
        let mut revisions = Vec::with_capacity(self.items.len() + self.steps.len());
        for item in &self.items {
            revisions.push((item.key, serialize_to_raw_document_buf(item)?));
        }
        for step in &self.steps {
            revisions.push((step.key, serialize_to_raw_document_buf(step)?));
        }
        revisions.sort_unstable_by_key(|(key, _)| *key);
        revisions.into_iter().for_each(|(_, document)| writes.insert(INBOXES, document));
        Ok(())
    }

    /// A document that this draft writes, its key with it: by it one sees whether it was written.
    pub(crate) fn witness(&self) -> Option<Document> {
        let step = self.steps.last().map(|step| (Bson::from(step.id), step.key));
        let (id, key) = step.or_else(|| self.items.last().map(|item| (Bson::from(item.id), item.key)))?;
        Some(doc! { "_id": id, "user_id": self.user_id.as_str(), "key": key })
    }

    /// What devices must learn, in order; what was taken before is not among it.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

fn add(counted: &mut Counts, weight: Counts) {
    counted.total += weight.total;
    counted.unread += weight.unread;
    counted.unseen += weight.unseen;
}

fn take(counted: &mut Counts, weight: Counts) {
    counted.total = counted.total.saturating_sub(weight.total);
    counted.unread = counted.unread.saturating_sub(weight.unread);
    counted.unseen = counted.unseen.saturating_sub(weight.unseen);
}

/// Moves the counters by what changed; `weight` is of those that count (or, unarchived, will count).
fn shift(counted: &mut Counts, op: MarkOp, weight: Counts) {
    match op {
        MarkOp::Read => take(counted, Counts { total: 0, ..weight }),
        MarkOp::Unread => counted.unread += weight.total,
        MarkOp::Seen => take(counted, Counts { total: 0, unread: 0, ..weight }),
        MarkOp::Archive | MarkOp::Delete => take(counted, weight),
        MarkOp::Unarchive => add(counted, weight),
    }
}

/// Whether `op` writes down when it was done.
fn sets_a_time(op: MarkOp) -> bool {
    !matches!(op, MarkOp::Unread | MarkOp::Unarchive)
}

/// What `op` does to a stored notification. What it leaves behind in no index goes with a deletion.
fn sets(op: MarkOp, rev: Revision, now: Timestamp) -> Document {
    let (rev, now) = (bound(rev), date(now));
    match op {
        MarkOp::Read => doc! { "$set": { "rev": rev, "read_at": now } },
        MarkOp::Unread => doc! { "$set": { "rev": rev }, "$unset": { "read_at": "" } },
        MarkOp::Seen => doc! { "$set": { "rev": rev, "seen_at": now } },
        MarkOp::Archive => doc! { "$set": { "rev": rev, "archived_at": now } },
        MarkOp::Unarchive => doc! { "$set": { "rev": rev }, "$unset": { "archived_at": "" } },
        MarkOp::Delete => doc! {
            "$set": { "rev": rev, "deleted_at": now },
            "$unset": { "expires_at": "", "collapse_key": "" },
        },
    }
}

/// The same, to one that is not stored yet.
fn apply(op: MarkOp, item: &mut Item, rev: Revision, now: Timestamp) {
    let now = date(now);
    item.rev = bound(rev);
    match op {
        MarkOp::Read => {
            item.read_at = Some(now);
            item.seen_at.get_or_insert(now);
        }
        MarkOp::Unread => item.read_at = None,
        MarkOp::Seen => item.seen_at = Some(now),
        MarkOp::Archive => item.archived_at = Some(now),
        MarkOp::Unarchive => item.archived_at = None,
        MarkOp::Delete => {
            item.deleted_at = Some(now);
            (item.expires_at, item.collapse_key) = (None, None);
        }
    }
}

/// The condition under which `op` changes a live one.
pub(crate) fn changes(op: MarkOp) -> Option<(&'static str, Bson)> {
    let (absent, present) = (Bson::Null, bson!({ "$ne": null }));
    match op {
        MarkOp::Read => Some(("read_at", absent)),
        MarkOp::Unread => Some(("read_at", present)),
        MarkOp::Seen => Some(("seen_at", absent)),
        MarkOp::Archive => Some(("archived_at", absent)),
        MarkOp::Unarchive => Some(("archived_at", present)),
        MarkOp::Delete => None,
    }
}

/// The condition under which `op` reaches a live one that it was not given by id.
pub(crate) fn reaches(op: MarkOp) -> Bson {
    match op.reach() {
        Reach::Inbox => Bson::Null,
        Reach::Archive => bson!({ "$ne": null }),
    }
}

/// An id of the domain as the database holds it.
pub(crate) fn wanted(ids: &[tidings_domain::NotificationId]) -> Vec<Uuid> {
    ids.iter().map(|one| uuid(*one)).collect()
}
