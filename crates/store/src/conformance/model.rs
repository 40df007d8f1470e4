//! Random sequences against a model: what an inbox is, written a second time, as plainly as possible, without a thought
//! of speed. After every step the store must say what the model says; again and again a device that stood at any cursor
//! must, with the log above it, come to the present inbox.
//!
//! When the store takes the revision with which something vanishes that is due to expire is its own affair (at the next
//! write, or at the next sweep), so the model learns of those from the observer, and only of those.
//!
//! `TIDINGS_MODEL_SEED` repeats one sequence, `TIDINGS_MODEL_STEPS` makes it longer.

use super::Factory;
use super::fixture::{Fixture, ManualClock, RETENTION, device, numbers, shape, user};
use super::random::Random;
use crate::{
    ArchivedFilter, ChangesQuery, Edit, InboxQuery, Outgoing, Range, Registration, Resync, StatusFilter,
    StoreError, Swept,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::{
    Change, Content, Counts, Entry, Kind, Mark, MarkOp, MarkTarget, Notification, NotificationId, Revision,
    State, Timestamp, Tombstone, UserId,
};

pub(super) const USERS: [&str; 3] = ["ana", "bo", "cy"];
pub(super) const DEVICES: [&str; 3] = ["phone", "laptop", "tablet"];
pub(super) const CATEGORIES: [Option<&str>; 3] = [None, Some("orders"), Some("news")];
const KEYS: [Option<&str>; 4] = [None, None, Some("k"), Some("l")];

pub async fn agrees_with_the_store(factory: &dyn Factory) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (seeds, steps) = factory.sequences();
    let steps = number("TIDINGS_MODEL_STEPS").unwrap_or(steps);
    let seeds = number("TIDINGS_MODEL_SEED").map_or((1..=seeds).collect(), |seed| vec![seed]);
    for seed in seeds {
        let mut run = Run::lived(factory, seed, steps).await;
        run.replay_from_everywhere().await;
    }
}

/// One notification.
#[derive(Debug, Clone)]
struct Row {
    id: NotificationId,
    seq: Revision,
    rev: Revision,
    content: Content,
    created_at: Timestamp,
    state: State,
    edited_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    key: Option<String>,
    deleted_at: Option<Timestamp>,
}

impl Row {
    fn is_due(&self, now: Timestamp) -> bool {
        self.deleted_at.is_none() && self.expires_at.is_some_and(|at| at <= now)
    }

    fn is_alive(&self, now: Timestamp) -> bool {
        self.deleted_at.is_none() && !self.is_due(now)
    }

    /// Alive and not archived.
    fn is_in_the_inbox(&self, now: Timestamp) -> bool {
        self.is_alive(now) && self.state.archived_at.is_none()
    }

    /// The time of what happens to it at `now`.
    fn moment(&self, now: Timestamp) -> Timestamp {
        self.state.moment(now, self.created_at, self.edited_at)
    }

    fn is_of(&self, category: Option<&str>) -> bool {
        category.is_none() || self.content.category.as_deref() == category
    }

    fn notification(&self, whose: &str) -> Notification {
        Notification {
            id: self.id,
            user_id: user(whose),
            seq: self.seq,
            rev: self.rev,
            content: self.content.clone(),
            state: self.state,
            timestamp: self.created_at,
            edited_at: self.edited_at,
            expires_at: self.expires_at,
        }
    }

    fn look(&self) -> Look {
        Look {
            id: self.id,
            read: self.state.read_at.is_some(),
            seen: self.state.seen_at.is_some(),
            archived: self.state.archived_at.is_some(),
            message: self.content.message.clone(),
            category: self.content.category.clone(),
            expires_at: self.expires_at,
        }
    }
}

/// What a device shows of one notification.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    id: NotificationId,
    read: bool,
    seen: bool,
    archived: bool,
    message: String,
    category: Option<String>,
    expires_at: Option<Timestamp>,
}

/// What a device shows: by `seq`.
type Picture = BTreeMap<Revision, Look>;

#[derive(Debug, Default)]
struct Inbox {
    head: Revision,
    floor: Revision,
    confirmed: Revision,
    rows: Vec<Row>,
    /// By name: what it confirmed, and when it was last seen.
    devices: BTreeMap<&'static str, (Revision, Timestamp)>,
    /// What a device shows that has followed up to each revision.
    pictures: Vec<Picture>,
    /// What a device shows that learns from the news alone.
    follower: Picture,
}

impl Inbox {
    fn picture(&self) -> Picture {
        self.rows.iter().filter(|row| row.deleted_at.is_none()).map(|row| (row.seq, row.look())).collect()
    }

    fn counts(&self, now: Timestamp, category: Option<&str>) -> Counts {
        let mut counts = Counts::default();
        for row in self.rows.iter().filter(|row| row.is_in_the_inbox(now) && row.is_of(category)) {
            counts.total += 1;
            counts.unread += u64::from(row.state.read_at.is_none());
            counts.unseen += u64::from(row.state.seen_at.is_none());
        }
        counts
    }

    /// The log above a cursor.
    fn log(&self, since: Revision) -> Vec<&Row> {
        let mut log: Vec<_> = self.rows.iter().filter(|row| row.rev > since).collect();
        log.sort_by_key(|row| (row.rev, row.seq));
        log
    }

    /// Which rows a mark changes, as positions.
    fn reached(&self, mark: &Mark, now: Timestamp) -> Vec<usize> {
        let reaches = |row: &Row| match &mark.target {
            MarkTarget::Ids(ids) => ids.contains(&row.id),
            MarkTarget::UpTo(bound) => {
                row.seq <= *bound && row.state.archived_at.is_some() == (mark.op == MarkOp::Unarchive)
            }
        };
        let changes = |row: &Row| match mark.op {
            MarkOp::Read => row.state.read_at.is_none(),
            MarkOp::Unread => row.state.read_at.is_some(),
            MarkOp::Seen => row.state.seen_at.is_none(),
            MarkOp::Archive => row.state.archived_at.is_none(),
            MarkOp::Unarchive => row.state.archived_at.is_some(),
            MarkOp::Delete => true,
        };
        let of = mark.category.as_deref();
        let hit = |row: &Row| row.is_alive(now) && row.is_of(of) && reaches(row) && changes(row);
        (0..self.rows.len()).filter(|index| hit(&self.rows[*index])).collect()
    }

    fn change(&mut self, op: MarkOp, rows: &[usize], rev: Revision, now: Timestamp) {
        for index in rows {
            let row = &mut self.rows[*index];
            row.rev = rev;
            let now = row.moment(now);
            match op {
                MarkOp::Read => {
                    row.state.read_at = Some(now);
                    if row.state.seen_at.is_none() {
                        row.state.seen_at = Some(now);
                    }
                }
                MarkOp::Unread => row.state.read_at = None,
                MarkOp::Seen => row.state.seen_at = Some(now),
                MarkOp::Archive => row.state.archived_at = Some(now),
                MarkOp::Unarchive => row.state.archived_at = None,
                MarkOp::Delete => row.deleted_at = Some(now),
            }
        }
    }
}

/// What a device does with news.
fn follow(picture: &mut Picture, change: &Change) {
    match &change.kind {
        Kind::Sent(new) | Kind::Edited(new) => {
            picture.insert(new.seq, look_of(new));
        }
        Kind::Marked { op, target, category } => picture.retain(|seq, look| {
            let reached = match target {
                MarkTarget::Ids(ids) => ids.contains(&look.id),
                MarkTarget::UpTo(bound) => {
                    seq <= bound
                        && look.archived == (*op == MarkOp::Unarchive)
                        && (category.is_none() || look.category == *category)
                }
            };
            if !reached {
                return true;
            }
            match op {
                MarkOp::Read => (look.read, look.seen) = (true, true),
                MarkOp::Unread => look.read = false,
                MarkOp::Seen => look.seen = true,
                MarkOp::Archive => look.archived = true,
                MarkOp::Unarchive => look.archived = false,
                MarkOp::Delete => return false,
            }
            true
        }),
    }
}

fn look_of(new: &Notification) -> Look {
    Look {
        id: new.id,
        read: new.state.read_at.is_some(),
        seen: new.state.seen_at.is_some(),
        archived: new.state.archived_at.is_some(),
        message: new.content.message.clone(),
        category: new.content.category.clone(),
        expires_at: new.expires_at,
    }
}

/// One sequence, and what it did so far. Says so when it ends in a panic.
pub(super) struct Run {
    pub(super) it: Fixture,
    random: Random,
    seed: u64,
    trail: Vec<String>,
    /// By how much the clock was set back, all together.
    set_back: Duration,
    inboxes: BTreeMap<&'static str, Inbox>,
    /// What was heard and not yet accounted for, by user.
    heard: HashMap<UserId, VecDeque<Change>>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.trail.len().saturating_sub(30);
            eprintln!("the last steps:\n{}", self.trail[from..].join("\n"));
            eprintln!("again with TIDINGS_MODEL_SEED={}", self.seed);
        }
    }
}

impl Run {
    async fn new(factory: &dyn Factory, seed: u64) -> Self {
        let it = Fixture::open_named(factory, &format!("model-{seed}")).await;
        let fresh = || Inbox { pictures: vec![Picture::new()], ..Inbox::default() };
        let inboxes = USERS.into_iter().map(|name| (name, fresh())).collect();
        let random = Random::new(seed);
        let (trail, set_back) = (Vec::new(), Duration::ZERO);
        Self { it, random, seed, trail, set_back, inboxes, heard: HashMap::new() }
    }

    /// A store with so many random steps behind it.
    pub(super) async fn lived(factory: &dyn Factory, seed: u64, steps: u64) -> Self {
        let mut run = Self::new(factory, seed).await;
        for _ in 0..steps {
            run.step().await;
        }
        run
    }

    fn now(&self) -> Timestamp {
        self.it.now()
    }

    async fn step(&mut self) {
        if self.random.one_in(3) {
            let by = *self.random.pick(&[1, 1_000, 60_000, 3_600_000, 86_400_000, 20 * 86_400_000]);
            self.it.clock.advance(Duration::from_millis(by));
            let at = self.now().as_millis() - ManualClock::START.as_millis();
            self.trail.push(format!("{by} ms pass, it is {at}"));
        }
        if self.random.one_in(12) {
            let by = Duration::from_millis(*self.random.pick(&[1, 1_000, 3_600_000]));
            self.it.clock.set_back(by);
            self.set_back += by;
            self.trail.push(format!("the clock is set back by {by:?}"));
        }
        let whose = *self.random.pick(&USERS);
        match self.random.below(20) {
            0..=6 => self.send().await,
            7..=12 => self.mark(whose).await,
            13 => self.recall(whose).await,
            14 | 15 => self.edit(whose).await,
            16 | 17 => self.acknowledge(whose).await,
            18 => self.register(whose).await,
            _ => self.sweep().await,
        }
        self.settle();
        self.compare(whose).await;
        if self.random.one_in(50) {
            self.replay_from_everywhere().await;
        }
    }

    // ---- what was heard --------------------------------------------------------------------------------------------

    fn listen(&mut self) {
        for change in self.it.heard() {
            self.heard.entry(change.user_id.clone()).or_default().push_back(change);
        }
    }

    /// The next news of this user, which the model must agree with once `apply` has been done to it.
    fn expect(
        &mut self,
        whose: &'static str,
        what: &str,
        apply: impl FnOnce(&mut Inbox, &Change, Timestamp),
    ) {
        self.absorb(whose);
        let queue = self.heard.entry(user(whose)).or_default();
        let change = queue.pop_front().unwrap_or_else(|| panic!("{whose} should have heard of {what}"));
        self.apply(whose, &change, apply);
    }

    fn apply(
        &mut self,
        whose: &'static str,
        change: &Change,
        apply: impl FnOnce(&mut Inbox, &Change, Timestamp),
    ) {
        let now = self.now();
        let inbox = self.inboxes.get_mut(whose).unwrap();
        assert_eq!(change.rev, inbox.head + 1, "{whose}: the next revision, {change:?}");
        inbox.head = change.rev;
        apply(inbox, change, now);
        assert_eq!(change.counts, inbox.counts(now, None), "{whose}: the numbers right after {change:?}");
        follow(&mut inbox.follower, change);
        assert_eq!(inbox.follower, inbox.picture(), "{whose}: who follows the news, {change:?}");
        inbox.pictures.push(inbox.picture());
    }

    /// Takes note of what vanished because it was due.
    fn absorb(&mut self, whose: &'static str) {
        let now = self.now();
        self.absorb_deletes(whose, |row| row.is_due(now));
    }

    fn absorb_deletes(&mut self, whose: &'static str, may_go: impl Fn(&Row) -> bool) -> u64 {
        let mut gone = 0;
        while let Some(change) = self.heard.entry(user(whose)).or_default().pop_front() {
            let inbox = &self.inboxes[whose];
            let ids = match &change.kind {
                Kind::Marked { op: MarkOp::Delete, target: MarkTarget::Ids(ids), category: None } => {
                    ids.clone()
                }
                _ => Vec::new(),
            };
            let rows: Vec<_> =
                (0..inbox.rows.len()).filter(|index| ids.contains(&inbox.rows[*index].id)).collect();
            if rows.is_empty() || rows.len() != ids.len() || !rows.iter().all(|row| may_go(&inbox.rows[*row]))
            {
                self.heard.entry(user(whose)).or_default().push_front(change);
                break;
            }
            gone += rows.len() as u64;
            self.apply(whose, &change, |inbox, change, now| {
                inbox.change(MarkOp::Delete, &rows, change.rev, now)
            });
        }
        gone
    }

    /// Everything that was heard is accounted for.
    fn settle(&mut self) {
        self.listen();
        for whose in USERS {
            self.absorb(whose);
            let left = &self.heard[&user(whose)];
            assert!(left.is_empty(), "{whose} heard of what did not happen: {left:?}");
        }
    }

    // ---- operations ------------------------------------------------------------------------------------------------

    fn any_id(&mut self, whose: &str) -> NotificationId {
        let rows = &self.inboxes[whose].rows;
        if rows.is_empty() || self.random.one_in(10) {
            return self.it.new_id();
        }
        // Mostly recent ones.
        let reach = if self.random.one_in(3) { rows.len() } else { rows.len().min(5) };
        rows[rows.len() - 1 - self.random.below(reach as u64) as usize].id
    }

    fn any_expiry(&mut self) -> Option<Timestamp> {
        let after = *self.random.pick(&[0, 1_000, 3_600_000, 86_400_000, 30 * 86_400_000]);
        self.random.one_in(3).then(|| self.now().after(Duration::from_millis(after)))
    }

    async fn send(&mut self) {
        let count = if self.random.one_in(4) { 2 + self.random.below(6) } else { 1 };
        let mut outgoing = Vec::new();
        let mut whose = Vec::new();
        for _ in 0..count {
            let to = *self.random.pick(&USERS);
            let category = self.random.pick(&CATEGORIES).map(str::to_owned);
            let content = Content { category, ..Content::text(format!("m{}", self.random.below(1_000))) };
            outgoing.push(Outgoing {
                content: Arc::new(content),
                expires_at: self.any_expiry(),
                collapse_key: self.random.pick(&KEYS).map(Into::into),
                ..self.it.outgoing(to, "")
            });
            whose.push(to);
        }
        self.trail.push(format!("send {outgoing:?}"));
        let receipts = self.it.append(outgoing.clone()).await;
        self.listen();
        for ((item, to), receipt) in outgoing.into_iter().zip(whose).zip(receipts) {
            self.absorb(to);
            let (now, key) = (self.now(), item.collapse_key.as_deref().map(str::to_owned));
            let inbox = &self.inboxes[to];
            let replaced: Vec<usize> = (0..inbox.rows.len())
                .filter(|index| {
                    let row = &inbox.rows[*index];
                    key.is_some() && row.key == key && row.is_in_the_inbox(now) && row.state.read_at.is_none()
                })
                .collect();
            if !replaced.is_empty() {
                self.expect(to, "a replacement", |inbox, change, now| {
                    let ids: Vec<_> = replaced.iter().map(|row| inbox.rows[*row].id).collect();
                    assert_marked(change, MarkOp::Delete, &MarkTarget::Ids(ids), None);
                    inbox.change(MarkOp::Delete, &replaced, change.rev, now);
                });
            }
            self.expect(to, "a new notification", |inbox, change, now| {
                let row = Row {
                    id: item.id,
                    seq: change.rev,
                    rev: change.rev,
                    content: (*item.content).clone(),
                    created_at: now,
                    state: State::default(),
                    edited_at: None,
                    expires_at: item.expires_at,
                    key,
                    deleted_at: None,
                };
                let Kind::Sent(sent) = &change.kind else { panic!("{change:?}") };
                assert_eq!(shape(sent), shape(&row.notification(to)));
                inbox.rows.push(row);
            });
            assert_eq!((receipt.id, receipt.seq), (item.id, self.inboxes[to].rows.last().unwrap().seq));
        }
    }

    async fn mark(&mut self, whose: &'static str) {
        let head = self.inboxes[whose].head;
        let op = *self.random.pick(&MarkOp::ALL);
        let target = match self.random.below(4) {
            0 => MarkTarget::UpTo(self.random.below(head + 3)),
            1 if op != MarkOp::Delete || self.random.one_in(4) => MarkTarget::UpTo(u64::MAX),
            _ => MarkTarget::Ids((0..self.random.below(6)).map(|_| self.any_id(whose)).collect()),
        };
        let category = self.random.pick(&CATEGORIES).filter(|_| self.random_bool()).map(str::to_owned);
        let mark = Mark { op, target, category };
        self.trail.push(format!("{whose} marks {mark:?}"));
        let done = self.it.mark_with(whose, mark.clone()).await;
        self.listen();
        self.absorb(whose);
        let (now, inbox) = (self.now(), &self.inboxes[whose]);
        let rows = inbox.reached(&mark, now);
        if !rows.is_empty() {
            let target = match &mark.target {
                MarkTarget::Ids(_) => MarkTarget::Ids(rows.iter().map(|row| inbox.rows[*row].id).collect()),
                MarkTarget::UpTo(bound) => MarkTarget::UpTo(*bound.min(&inbox.head)),
            };
            self.expect(whose, "a mark", |inbox, change, now| {
                assert_marked(change, mark.op, &target, mark.category.as_deref());
                inbox.change(mark.op, &rows, change.rev, now);
            });
        }
        self.absorb(whose);
        let inbox = &self.inboxes[whose];
        assert_eq!((done.rev, done.changed), (inbox.head, rows.len() as u64), "the answer to {mark:?}");
        assert_eq!(done.counts, inbox.counts(now, None), "the answer to {mark:?}");
    }

    fn random_bool(&mut self) -> bool {
        self.random.one_in(2)
    }

    async fn recall(&mut self, whose: &'static str) {
        let id = self.any_id(whose);
        self.trail.push(format!("recall {id}"));
        let recalled = self.it.store.recall(id).await.unwrap();
        self.listen();
        self.absorb(whose);
        let (now, inbox) = (self.now(), &self.inboxes[whose]);
        let row =
            (0..inbox.rows.len()).find(|row| inbox.rows[*row].id == id && inbox.rows[*row].is_alive(now));
        assert_eq!(recalled, row.is_some());
        if let Some(row) = row {
            self.expect(whose, "a recall", |inbox, change, now| {
                assert_marked(change, MarkOp::Delete, &MarkTarget::Ids(vec![id]), None);
                inbox.change(MarkOp::Delete, &[row], change.rev, now);
            });
        }
    }

    async fn edit(&mut self, whose: &'static str) {
        let id = self.any_id(whose);
        let edit = Edit {
            message: self.random_bool().then(|| format!("m{}", self.random.below(1_000))),
            category: self.random_bool().then(|| self.random.pick(&CATEGORIES).map(str::to_owned)),
            expires_at: self.random.one_in(3).then(|| self.any_expiry()),
            ..Edit::default()
        };
        self.trail.push(format!("edit {id} {edit:?}"));
        let answer = self.it.store.edit(id, edit.clone()).await.unwrap();
        self.listen();
        self.absorb(whose);
        let (now, inbox) = (self.now(), &self.inboxes[whose]);
        let index =
            (0..inbox.rows.len()).find(|row| inbox.rows[*row].id == id && inbox.rows[*row].is_alive(now));
        let Some(index) = index else {
            assert!(answer.is_none(), "edited what is gone");
            return;
        };
        let mut row = inbox.rows[index].clone();
        row.content.message = edit.message.unwrap_or(row.content.message);
        row.content.category = edit.category.unwrap_or(row.content.category);
        row.expires_at = edit.expires_at.unwrap_or(row.expires_at);
        let before = &inbox.rows[index].content;
        let reworded = row.content.message != before.message || row.content.category != before.category;
        if reworded {
            row.edited_at = Some(row.moment(now));
        }
        if reworded || row.expires_at != inbox.rows[index].expires_at {
            self.expect(whose, "an edit", |inbox, change, _| {
                row.rev = change.rev;
                let Kind::Edited(edited) = &change.kind else { panic!("{change:?}") };
                assert_eq!(shape(edited), shape(&row.notification(whose)));
                inbox.rows[index] = row.clone();
            });
        }
        assert_eq!(
            shape(&answer.expect("edited what is there")),
            shape(&self.inboxes[whose].rows[index].notification(whose))
        );
    }

    async fn acknowledge(&mut self, whose: &'static str) {
        let head = self.inboxes[whose].head;
        let up_to = if self.random.one_in(10) { head + 1 } else { self.random.below(head + 1) };
        let after = if self.random_bool() { 0 } else { self.random.below(up_to + 2) };
        let from = (!self.random.one_in(5)).then(|| *self.random.pick(&DEVICES));
        self.trail.push(format!("{whose} acknowledges {after}..{up_to} from {from:?}"));
        let named = from.map(device);
        let answer = self.it.store.acknowledge(&user(whose), named.as_ref(), after, up_to).await;
        let now = self.now();
        let inbox = self.inboxes.get_mut(whose).unwrap();
        if up_to > head {
            assert_eq!(answer, Err(StoreError::AboveHead { head }));
            return;
        }
        for row in inbox.rows.iter_mut().filter(|row| after < row.rev && row.rev <= up_to) {
            if row.deleted_at.is_none() && row.state.delivered_at.is_none() {
                row.state.delivered_at = Some(row.moment(now));
            }
        }
        inbox.confirmed = inbox.confirmed.max(up_to);
        let Some(name) = from else {
            assert_eq!(answer, Ok(inbox.confirmed));
            return;
        };
        let known = inbox.devices.entry(name).or_insert((0, now));
        if up_to > known.0 {
            *known = (up_to, now);
        }
        assert_eq!(answer, Ok(known.0));
    }

    async fn register(&mut self, whose: &'static str) {
        let name = *self.random.pick(&DEVICES);
        let start = self.random.below(self.inboxes[whose].head + 1);
        self.trail.push(format!("{whose} registers {name} at {start}"));
        let registration = Registration { device_id: device(name), pid: None, start, transport: "polling" };
        self.it.store.register(&user(whose), registration).await.unwrap();
        let now = self.now();
        self.inboxes.get_mut(whose).unwrap().devices.entry(name).or_insert((start, now)).1 = now;
    }

    async fn sweep(&mut self) {
        let limit = *self.random.pick(&[1, 3, 1_000]);
        self.trail.push(format!("sweep by {limit}"));
        let swept = self.it.sweep_by(limit).await;
        self.listen();
        let now = self.now();
        let cutoff = now.before(RETENTION);
        // The upkeep walks in the order of arrival: what arrived after something that seems younger waits for that.
        let overdue = cutoff.before(self.set_back);
        let mut done = Swept::default();
        for whose in USERS {
            done.expired += self.absorb_deletes(whose, |row| {
                row.is_due(now) || (row.is_alive(now) && row.created_at < cutoff)
            });
            let inbox = self.inboxes.get_mut(whose).unwrap();
            for row in inbox.rows.iter().filter(|row| row.deleted_at.is_none()) {
                assert!(!row.is_due(now) && row.created_at >= overdue, "{whose}: left behind {row:?}");
            }
            let (gone, kept): (Vec<Row>, Vec<Row>) = std::mem::take(&mut inbox.rows)
                .into_iter()
                .partition(|row| row.deleted_at.is_some_and(|at| at < cutoff));
            done.purged += gone.len() as u64;
            inbox.floor = gone.iter().map(|row| row.rev).fold(inbox.floor, Revision::max);
            inbox.rows = kept;
            inbox.devices.retain(|_, (_, last_seen_at)| *last_seen_at >= cutoff);
        }
        assert_eq!((swept.expired + swept.retired, swept.purged), (done.expired, done.purged));
    }

    // ---- comparisons -----------------------------------------------------------------------------------------------

    async fn compare(&mut self, whose: &'static str) {
        let (it, inbox, now) = (&self.it, &self.inboxes[whose], self.it.now());
        let expected: Vec<_> = inbox
            .rows
            .iter()
            .rev()
            .filter(|row| row.is_alive(now))
            .map(|row| row.notification(whose))
            .collect();
        let listed = it.everything(whose).await;
        assert_eq!(
            listed.iter().map(shape).collect::<Vec<_>>(),
            expected.iter().map(shape).collect::<Vec<_>>(),
            "{whose}: the inbox"
        );
        for category in CATEGORIES {
            let counts = it.store.counts(&user(whose), category).await.unwrap();
            assert_eq!(counts, inbox.counts(now, category), "{whose}: {category:?}");
        }
        let name = *self.random.pick(&DEVICES);
        let at = it.store.locate(&user(whose), Some(&device(name))).await.unwrap();
        assert_eq!((at.head, at.floor, at.confirmed), (inbox.head, inbox.floor, inbox.confirmed), "{whose}");
        assert_eq!(at.counts, inbox.counts(now, None));
        assert_eq!(at.device, inbox.devices.get(name).map(|(cursor, _)| *cursor), "{whose}: {name}");
        self.page(whose).await;
    }

    /// A page by some filter.
    async fn page(&mut self, whose: &'static str) {
        let bound = self.random.below(self.inboxes[whose].head + 2);
        let query = InboxQuery {
            status: *self.random.pick(&[
                StatusFilter::All,
                StatusFilter::Unread,
                StatusFilter::Read,
                StatusFilter::Unseen,
            ]),
            archived: *self.random.pick(&[
                ArchivedFilter::Exclude,
                ArchivedFilter::Include,
                ArchivedFilter::Only,
            ]),
            category: self.random.pick(&CATEGORIES).map(str::to_owned),
            range: *self.random.pick(&[Range::Newest, Range::Before(bound), Range::After(bound)]),
            limit: 1 + self.random.below(8) as usize,
            ..InboxQuery::default()
        };
        let (inbox, now) = (&self.inboxes[whose], self.it.now());
        let matches = |row: &&Row| {
            let status = match query.status {
                StatusFilter::All => true,
                StatusFilter::Unread => row.state.read_at.is_none(),
                StatusFilter::Read => row.state.read_at.is_some(),
                StatusFilter::Unseen => row.state.seen_at.is_none(),
            };
            let archived = match query.archived {
                ArchivedFilter::Exclude => row.state.archived_at.is_none(),
                ArchivedFilter::Include => true,
                ArchivedFilter::Only => row.state.archived_at.is_some(),
            };
            let range = match query.range {
                Range::Newest => true,
                Range::Before(bound) => row.seq < bound,
                Range::After(bound) => row.seq > bound,
            };
            row.is_alive(now) && status && archived && range && row.is_of(query.category.as_deref())
        };
        // Oldest first.
        let mut expected: Vec<Revision> = inbox.rows.iter().filter(matches).map(|row| row.seq).collect();
        let has_more = expected.len() > query.limit;
        if matches!(query.range, Range::After(_)) {
            expected.truncate(query.limit);
        } else {
            expected.drain(..expected.len().saturating_sub(query.limit));
        }
        expected.reverse();
        let page = self.it.store.inbox(&user(whose), query.clone()).await.unwrap();
        let got: Vec<_> = page.notifications.iter().map(|notification| notification.seq).collect();
        assert_eq!((got, page.has_more), (expected, has_more), "{whose}: {query:?}");
        assert_eq!(page.counts, inbox.counts(now, None));
        assert_eq!((page.head, page.floor), (inbox.head, inbox.floor));
    }

    /// A device that stood at any cursor comes to the present inbox.
    async fn replay_from_everywhere(&mut self) {
        for whose in USERS {
            let head = self.inboxes[whose].head;
            for since in 0..=head + 1 {
                self.replay(whose, since).await;
            }
        }
        let nobody = self.it.store.locate(&user("nobody"), None).await.unwrap();
        assert_eq!((nobody.head, nobody.counts), (0, numbers(0, 0, 0)));
    }

    async fn replay(&mut self, whose: &'static str, since: Revision) {
        let limit = 1 + self.random.below(20) as usize;
        let reach = self.random.below(self.inboxes[whose].rows.len() as u64 + 2);
        let (store, inbox, name) = (&self.it.store, &self.inboxes[whose], user(whose));
        let log = inbox.log(since);
        assert_eq!(store.behind(&name, since, u64::MAX).await.unwrap(), log.len() as u64);
        assert_eq!(store.behind(&name, since, reach).await.unwrap(), reach.min(log.len() as u64));
        let smallest = (inbox.floor..=inbox.head)
            .find(|cursor| inbox.rows.iter().filter(|row| row.rev > *cursor).count() as u64 <= reach);
        assert_eq!(Some(store.reach_back(&name, reach).await.unwrap()), smallest, "{whose}: {reach}");
        for up_to in [since, since + reach] {
            let moved = inbox.rows.iter().filter(|row| {
                row.seq > since && row.seq <= up_to && row.rev > up_to && row.deleted_at.is_none()
            });
            let moved: Vec<Revision> = moved.map(|row| row.seq).collect();
            assert_eq!(store.moved(&name, since, up_to).await.unwrap(), moved, "{whose}: {since} to {up_to}");
        }
        let refused = if since < inbox.floor {
            Some(Resync::BelowFloor)
        } else {
            (since > inbox.head).then_some(Resync::AboveHead)
        };
        if let Some(resync) = refused {
            let answer = store.changes(&name, ChangesQuery::new(since, limit)).await.unwrap_err();
            assert_eq!(answer, StoreError::ResyncRequired(resync), "{whose}: {since}");
            return;
        }
        let mut picture = inbox.pictures[since as usize].clone();
        // Often so few bytes that a revision of several does not fit into a page.
        let bytes = *self.random.pick(&[1, 1_000, 5_000, usize::MAX]);
        let came = self.it.changes_by(whose, ChangesQuery { bytes, ..ChangesQuery::new(since, limit) }).await;
        for entry in &came {
            match entry {
                Entry::Live(new) => picture.insert(new.seq, look_of(new)),
                Entry::Deleted(tombstone) => picture.remove(&tombstone.seq),
            };
        }
        assert_eq!(picture, inbox.picture(), "{whose}: from {since}, {limit} at a time");
        let expected = log.iter().map(|row| match row.deleted_at {
            None => shape(&row.notification(whose)),
            Some(_) => serde_json::to_string(&Tombstone { id: row.id, seq: row.seq, rev: row.rev }).unwrap(),
        });
        let came = came.iter().map(|entry| match entry {
            Entry::Live(new) => shape(new),
            Entry::Deleted(tombstone) => serde_json::to_string(tombstone).unwrap(),
        });
        assert!(came.eq(expected), "{whose}: the log above {since}");
    }
}

/// `change` is that mark. Ids may come in any order.
fn assert_marked(change: &Change, op: MarkOp, target: &MarkTarget, category: Option<&str>) {
    let Kind::Marked { op: told, target: reached, category: of } = &change.kind else { panic!("{change:?}") };
    assert_eq!((*told, of.as_deref()), (op, category));
    match (reached, target) {
        (MarkTarget::Ids(reached), MarkTarget::Ids(target)) => {
            let sorted = |ids: &[NotificationId]| {
                let mut ids = ids.to_vec();
                ids.sort();
                ids
            };
            assert_eq!(sorted(reached), sorted(target));
        }
        _ => assert_eq!(reached, target),
    }
}
