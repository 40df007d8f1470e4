use crate::{
    Appended, ArchivedFilter, Changes, ChangesQuery, InboxQuery, Marked, Observer, Outgoing, Receipt,
    Registration, Store, Sweep, Swept,
};
use async_trait::async_trait;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidings_domain::{
    Change, Clock, Content, Counts, DeviceId, Entry, Kind, Mark, MarkOp, MarkTarget, Notification,
    NotificationId, Revision, Timestamp, UserId,
};

/// Makes stores of one kind.
#[async_trait]
pub trait Factory: Send + Sync {
    /// Opens the store of that name, a new one the first time. It is not opened twice at once.
    async fn open(&self, name: &str, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Arc<dyn Store>;

    /// How many rows or documents the store of that name keeps of inboxes: of what they hold, where they stand and of their
    /// devices.
    async fn kept(&self, name: &str) -> u64;

    /// How many random sequences the model is compared with, and how long each is. Fewer where every step is a question
    /// to a server.
    fn sequences(&self) -> (u64, u64) {
        (8, 200)
    }
}

/// A clock that stands until it is moved, in either direction.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// The moment at which every case begins: 2026-01-01.
    pub const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    /// Stands at [`Self::START`].
    pub fn start() -> Self {
        Self(AtomicI64::new(Self::START.as_millis()))
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }

    /// As an operator does, or NTP.
    pub fn set_back(&self, by: Duration) {
        self.0.fetch_sub(by.as_millis() as i64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Writes down what it hears.
#[derive(Default)]
pub struct Recorder {
    heard: Mutex<Vec<Change>>,
}

impl Observer for Recorder {
    fn committed(&self, change: Change) {
        self.heard.lock().unwrap().push(change);
    }
}

impl Recorder {
    /// What was heard since the last call.
    pub fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

pub const SECOND: Duration = Duration::from_secs(1);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

/// A store of its own for one case, with the clock and the observer in hand.
pub struct Fixture {
    name: String,
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    pub news: Arc<Recorder>,
    made: AtomicU64,
}

impl Fixture {
    pub async fn open(factory: &dyn Factory) -> Self {
        Self::open_named(factory, "main").await
    }

    pub async fn open_named(factory: &dyn Factory, name: &str) -> Self {
        let clock = Arc::new(ManualClock::start());
        let news = Arc::new(Recorder::default());
        let store = factory.open(name, clock.clone(), news.clone()).await;
        Self { name: name.to_owned(), ..Self::of(store, clock, news) }
    }

    /// Around a store that was opened elsewhere.
    pub fn of(store: Arc<dyn Store>, clock: Arc<ManualClock>, news: Arc<Recorder>) -> Self {
        Self { name: String::new(), store, clock, news, made: AtomicU64::new(0) }
    }

    /// The store's name at its factory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Closes the store and opens it again.
    pub async fn reopen(self, factory: &dyn Factory) -> Self {
        self.store.close().await;
        drop(self.store);
        let store = factory.open(&self.name, self.clock.clone(), self.news.clone()).await;
        Self { store, ..self }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An id that was not used before; later ones sort later.
    pub fn new_id(&self) -> NotificationId {
        Self::new_id_at(self.now(), self.made.fetch_add(1, Ordering::SeqCst))
    }

    /// The id with that number, made at that moment.
    pub fn new_id_at(at: Timestamp, number: u64) -> NotificationId {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&at.as_millis().to_be_bytes()[2..]);
        bytes[6] = 0x70;
        bytes[8..].copy_from_slice(&(number | (0b10 << 62)).to_be_bytes());
        NotificationId::from_bytes(bytes)
    }

    pub fn outgoing(&self, to: &str, message: &str) -> Outgoing {
        Outgoing {
            user_id: user(to),
            id: self.new_id(),
            content: Arc::new(Content::text(message)),
            expires_at: None,
            collapse_key: None,
        }
    }

    pub fn in_category(&self, to: &str, message: &str, category: &str) -> Outgoing {
        let content = Content { category: Some(category.to_owned()), ..Content::text(message) };
        Outgoing { content: Arc::new(content), ..self.outgoing(to, message) }
    }

    pub fn expiring(&self, to: &str, message: &str, after: Duration) -> Outgoing {
        Outgoing { expires_at: Some(self.now().after(after)), ..self.outgoing(to, message) }
    }

    pub fn collapsing(&self, to: &str, message: &str, key: &str) -> Outgoing {
        Outgoing { collapse_key: Some(key.into()), ..self.outgoing(to, message) }
    }

    pub async fn append(&self, outgoing: Vec<Outgoing>) -> Vec<Receipt> {
        match self.store.append(outgoing, None).await.unwrap() {
            Appended::Stored(receipts) => receipts,
            replayed @ Appended::Replayed { .. } => panic!("nothing was sent before: {replayed:?}"),
        }
    }

    pub async fn put(&self, outgoing: Outgoing) -> Receipt {
        self.append(vec![outgoing]).await.remove(0)
    }

    pub async fn send(&self, to: &str, message: &str) -> Receipt {
        self.put(self.outgoing(to, message)).await
    }

    /// So many, one call each.
    pub async fn send_many(&self, to: &str, count: usize) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for index in 0..count {
            receipts.push(self.send(to, &format!("m{index}")).await);
        }
        receipts
    }

    pub async fn mark_with(&self, whose: &str, mark: Mark) -> Marked {
        self.store.mark(&user(whose), mark).await.unwrap()
    }

    pub async fn mark(&self, whose: &str, op: MarkOp, ids: &[NotificationId]) -> Marked {
        self.mark_with(whose, Mark { op, target: MarkTarget::Ids(ids.to_vec()), category: None }).await
    }

    pub async fn mark_up_to(&self, whose: &str, op: MarkOp, up_to: Revision) -> Marked {
        self.mark_with(whose, Mark { op, target: MarkTarget::UpTo(up_to), category: None }).await
    }

    pub async fn counts(&self, whose: &str) -> Counts {
        self.store.counts(&user(whose), None).await.unwrap()
    }

    pub async fn head(&self, whose: &str) -> Revision {
        self.store.locate(&user(whose), None).await.unwrap().head
    }

    pub async fn get(&self, id: NotificationId) -> Option<Notification> {
        self.store.notification(id).await.unwrap()
    }

    pub async fn acknowledge(&self, whose: &str, from: &str, after: Revision, up_to: Revision) -> Revision {
        self.store.acknowledge(&user(whose), Some(&device(from)), after, up_to).await.unwrap()
    }

    pub async fn register(&self, whose: &str, name: &str, pid: Option<&str>, start: Revision) {
        let registration = Registration {
            device_id: device(name),
            pid: pid.map(str::to_owned),
            start,
            transport: "websocket",
        };
        self.store.register(&user(whose), registration).await.unwrap();
    }

    /// Sweeps until there is no more to do.
    pub async fn sweep(&self) -> Swept {
        self.sweep_by(1_000).await
    }

    pub async fn sweep_by(&self, limit: usize) -> Swept {
        let mut all = Swept::default();
        for _ in 0..100_000 {
            let swept = self.store.sweep(Sweep { retention: RETENTION, limit }).await.unwrap();
            all.expired += swept.expired;
            all.retired += swept.retired;
            all.purged += swept.purged;
            if !swept.more {
                return all;
            }
        }
        panic!("the upkeep never ends");
    }

    /// The whole log above a cursor, page by page.
    pub async fn changes(&self, whose: &str, since: Revision, limit: usize) -> Vec<Entry> {
        self.changes_by(whose, ChangesQuery::new(since, limit)).await
    }

    /// The whole log, page by page of this size.
    pub async fn changes_by(&self, whose: &str, mut query: ChangesQuery) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let page = self.store.changes(&user(whose), query).await.unwrap();
            let Changes { cursor, next, has_more, head, .. } = page;
            assert!((cursor, next) > (query.since, query.inside) || !has_more, "a page that leads nowhere");
            assert!(page.entries.iter().all(|entry| entry.rev() > query.since));
            let heavy = page.entries.iter().rev().skip(1).map(Entry::wire_size).sum::<usize>();
            assert!(heavy <= query.bytes, "{heavy} bytes beside the last item");
            match next {
                None => assert!(page.entries.iter().all(|entry| entry.rev() <= cursor)),
                Some(inside) => {
                    assert_eq!(cursor, query.since, "within a revision the cursor stays before it");
                    assert!(page.entries.iter().all(|entry| entry.rev() == inside.rev));
                    assert_eq!(page.entries.last().map(Entry::seq), Some(inside.seq));
                }
            }
            entries.extend(page.entries);
            (query.since, query.inside) = (cursor, next);
            if !has_more {
                assert_eq!((cursor, next), (head, None), "without more the cursor is the head");
                assert!(entries.is_sorted_by_key(|entry| (entry.rev(), entry.seq())));
                return entries;
            }
        }
    }

    /// Everything that is listed, newest first, archived ones too.
    pub async fn everything(&self, whose: &str) -> Vec<Notification> {
        let query = InboxQuery {
            archived: ArchivedFilter::Include,
            limit: 100_000,
            bytes: usize::MAX,
            ..InboxQuery::default()
        };
        self.store.inbox(&user(whose), query).await.unwrap().notifications
    }

    /// What is in the inbox, newest first.
    pub async fn listed(&self, whose: &str) -> Vec<Revision> {
        self.seqs(whose, InboxQuery::default()).await
    }

    pub async fn seqs(&self, whose: &str, query: InboxQuery) -> Vec<Revision> {
        let query = InboxQuery { limit: query.limit.max(1_000), bytes: usize::MAX, ..query };
        let page = self.store.inbox(&user(whose), query).await.unwrap();
        page.notifications.iter().map(|notification| notification.seq).collect()
    }

    /// What must hold of every inbox at every moment.
    pub async fn audit(&self, whose: &str) {
        let listed = self.everything(whose).await;
        let mut counted = Counts::default();
        for notification in listed.iter().filter(|n| n.state.archived_at.is_none()) {
            counted.total += 1;
            counted.unread += u64::from(notification.state.read_at.is_none());
            counted.unseen += u64::from(notification.state.seen_at.is_none());
        }
        assert_eq!(self.counts(whose).await, counted, "the counts of {whose} are those of a recount");
        let at = self.store.locate(&user(whose), None).await.unwrap();
        assert_eq!(at.counts, counted);
        assert!(at.floor <= at.head && at.confirmed <= at.head, "{at:?}");
        assert!(listed.windows(2).all(|pair| pair[0].seq > pair[1].seq), "newest first");
        for notification in &listed {
            assert!((1..=at.head).contains(&notification.seq) && notification.seq <= notification.rev);
            assert!(notification.rev <= at.head);
            let one = self.get(notification.id).await.expect("what is listed can be had alone");
            assert_eq!(shape(&one), shape(notification));
        }
        // The log from the floor holds all that is listed, and no revision in two pieces.
        let log = self.changes(whose, at.floor, 7).await;
        assert!(log.windows(2).all(|pair| pair[0].rev() <= pair[1].rev()), "in order of revision");
        let live: BTreeSet<_> =
            log.iter().filter(|entry| matches!(entry, Entry::Live(_))).map(Entry::seq).collect();
        for notification in listed.iter().filter(|notification| notification.rev > at.floor) {
            assert!(live.contains(&notification.seq), "the log holds {}", notification.seq);
        }
    }

    /// What was heard since the last time: each inbox's revisions one after the other.
    pub fn heard(&self) -> Vec<Change> {
        let heard = self.news.take();
        let mut last: HashMap<&UserId, Revision> = HashMap::new();
        for change in &heard {
            if let Some(before) = last.insert(&change.user_id, change.rev) {
                assert_eq!(change.rev, before + 1, "news of {} in order, without holes", change.user_id);
            }
        }
        heard
    }
}

/// All of a notification that can be compared.
pub fn shape(notification: &Notification) -> String {
    let mut shape = serde_json::to_string(notification).unwrap();
    if let Some(at) = notification.edited_at {
        shape.push_str(&format!(" edited {at}"));
    }
    shape
}

/// What was done, and to what.
pub fn marked(change: &Change) -> (MarkOp, MarkTarget, Option<String>) {
    match &change.kind {
        Kind::Marked { op, target, category } => (*op, target.clone(), category.clone()),
        other => panic!("no mark: {other:?}"),
    }
}

pub fn numbers(unread: u64, unseen: u64, total: u64) -> Counts {
    Counts { unread, unseen, total }
}
