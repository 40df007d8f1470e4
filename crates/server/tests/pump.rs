//! The pump against a real store, with news that is lost, doubled and late: whatever the bus does, a device's picture
//! equals the inbox, each revision comes once and in order, and what a device never had comes as a new notification.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidings::realtime::{Hub, Pump, Served};
use tidings_bus::{Bus, Listener, LocalBus};
use tidings_domain::{
    Change, Content, DeviceId, Mark, MarkOp, MarkTarget, NotificationId, Revision, SystemClock, UserId,
};
use tidings_store::{ArchivedFilter, Edit, InboxQuery, Observer, Outgoing, Range, Store};
use tidings_store_sqlite::{Options, SqliteStore};

/// A small generator; the seed is all there is to a run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Loses, doubles and delays one in ten each.
struct Chaos {
    bus: Arc<LocalBus>,
    state: Mutex<(Dice, Vec<Arc<Change>>, bool)>,
}

impl Observer for Chaos {
    fn committed(&self, change: Change) {
        let change = Arc::new(change);
        let mut state = self.state.lock().unwrap();
        let (dice, late, calm) = &mut *state;
        if *calm {
            return self.bus.publish(change);
        }
        match dice.roll(10) {
            0 => {}
            1 => {
                self.bus.publish(change.clone());
                self.bus.publish(change);
            }
            2 => late.push(change),
            _ => self.bus.publish(change),
        }
        if late.len() > 3 {
            late.drain(..).rev().for_each(|change| self.bus.publish(change));
        }
    }
}

struct Node {
    store: Arc<SqliteStore>,
    hub: Arc<Hub>,
    chaos: Arc<Chaos>,
    user: UserId,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bus = Arc::new(LocalBus::new());
        let chaos = Arc::new(Chaos { bus: bus.clone(), state: Mutex::new((Dice(seed), Vec::new(), false)) });
        let store =
            SqliteStore::open(folder.path(), Options::default(), Arc::new(SystemClock), chaos.clone())
                .unwrap();
        let store = Arc::new(store);
        let hub = Hub::new(store.epoch().clone(), bus.clone());
        bus.listen(store.epoch(), Arc::downgrade(&(hub.clone() as Arc<dyn Listener>)));
        Self { store, hub, chaos, user: UserId::new("ana").unwrap(), _folder: folder }
    }

    async fn attach(&self, device: &str, cursor: Revision) -> Device {
        let seat = self.hub.join(&self.user, DeviceId::new(device).unwrap(), "websocket", 0).unwrap();
        let head = self.store.locate(&self.user, None).await.unwrap().head;
        let pump = Pump::new(self.store.clone(), seat, cursor, head);
        Device {
            pump,
            start: cursor,
            cursor,
            picture: BTreeMap::new(),
            told_as_new: BTreeMap::new(),
            badge: None,
        }
    }

    async fn send(&self, message: &str) -> NotificationId {
        let id = NotificationId::new(uuid::Uuid::now_v7());
        let content = Arc::new(Content::text(message));
        let outgoing =
            Outgoing { user_id: self.user.clone(), id, content, expires_at: None, collapse_key: None };
        self.store.append(vec![outgoing], None).await.unwrap();
        id
    }

    async fn mark(&self, op: MarkOp, target: MarkTarget) {
        self.store.mark(&self.user, Mark { op, target, category: None }).await.unwrap();
    }

    /// The last change is heard by everybody.
    async fn calm_down(&self) -> Revision {
        self.chaos.state.lock().unwrap().2 = true;
        self.send("the last one").await;
        self.store.locate(&self.user, None).await.unwrap().head
    }

    async fn picture(&self) -> BTreeMap<String, Value> {
        let mut picture = BTreeMap::new();
        let mut range = Range::Newest;
        loop {
            let query =
                InboxQuery { archived: ArchivedFilter::Include, range, limit: 100, ..InboxQuery::default() };
            let page = self.store.inbox(&self.user, query).await.unwrap();
            for notification in &page.notifications {
                picture.insert(
                    notification.id.to_string(),
                    essence(&serde_json::to_value(notification).unwrap()),
                );
                range = Range::Before(notification.seq);
            }
            if !page.has_more {
                return picture;
            }
        }
    }
}

/// What devices must agree on. The times differ: a device makes them itself when it applies a live mark.
fn essence(notification: &Value) -> Value {
    let fields = ["message", "is_read", "is_seen", "is_archived"];
    Value::Array(fields.iter().map(|field| notification[*field].clone()).collect())
}

/// A device as a client library would be: it applies what comes and keeps a cursor.
struct Device {
    pump: Pump,
    start: Revision,
    cursor: Revision,
    picture: BTreeMap<String, Value>,
    told_as_new: BTreeMap<String, u32>,
    badge: Option<u64>,
}

impl Device {
    async fn follow(&mut self, head: Revision, dice: &mut Dice) {
        while self.cursor < head {
            // Interrupted at random, as a session is by a client's events.
            let patience = Duration::from_micros(dice.roll(400));
            let frames = 1 + dice.roll(20) as usize;
            let served = tokio::time::timeout(patience, self.pump.next(frames, 2000)).await;
            match served {
                Err(_) => {}
                Ok(Served::Resync(reason)) => panic!("{reason}"),
                Ok(Served::Frames(frames)) => frames.iter().for_each(|frame| self.apply(frame.packet.json())),
            }
        }
    }

    fn apply(&mut self, json: &str) {
        let event: Vec<Value> = serde_json::from_str(json).unwrap();
        let offset = event.last().and_then(Value::as_str).unwrap();
        let rev: Revision = offset.rsplit_once(':').unwrap().1.parse().unwrap();
        assert!(rev > self.cursor, "revision {rev} after {}", self.cursor);
        self.badge = event[2]["unread"].as_u64();
        match event[0].as_str().unwrap() {
            "send_notification" => {
                assert_eq!(event[2]["prev"], self.cursor, "a gap");
                let id = event[1]["id"].as_str().unwrap().to_owned();
                *self.told_as_new.entry(id.clone()).or_default() += 1;
                self.picture.insert(id, essence(&event[1]));
            }
            "notification_updated" => {
                assert_eq!(event[1]["prev"], self.cursor, "a gap");
                self.update(&event[1]);
            }
            other => panic!("{other}"),
        }
        self.cursor = rev;
    }

    fn update(&mut self, update: &Value) {
        if let Some(notifications) = update["notifications"].as_array() {
            for notification in notifications {
                let id = notification["id"].as_str().unwrap().to_owned();
                if notification["deleted"] == true {
                    self.picture.remove(&id);
                } else {
                    self.picture.insert(id, essence(notification));
                }
            }
            return;
        }
        let ids: BTreeSet<String> = match update["ids"].as_array() {
            Some(ids) => ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect(),
            // In these tests `up_to` is only used for everything there is.
            None => {
                let archived = update["op"] == "unarchive";
                let reached = self.picture.iter().filter(|(_, picture)| picture[3] == archived);
                reached.map(|(id, _)| id.clone()).collect()
            }
        };
        for id in ids {
            let Some(picture) = self.picture.get_mut(&id) else {
                panic!("{} of {id}, which this device never had", update["op"])
            };
            match update["op"].as_str().unwrap() {
                "read" => (picture[1], picture[2]) = (true.into(), true.into()),
                "unread" => picture[1] = false.into(),
                "seen" => picture[2] = true.into(),
                "archive" => picture[3] = true.into(),
                "unarchive" => picture[3] = false.into(),
                "delete" => _ = self.picture.remove(&id),
                other => panic!("{other}"),
            }
        }
    }
}

async fn disturb(node: &Node, seed: u64, steps: u64, all_at_once: bool) {
    let mut dice = Dice(seed);
    let mut ids = Vec::new();
    for step in 0..steps {
        let any = |dice: &mut Dice, ids: &[NotificationId]| ids[dice.roll(ids.len() as u64) as usize];
        match dice.roll(10) {
            0..=4 => ids.push(node.send(&format!("number {step}")).await),
            _ if ids.is_empty() => {}
            5 => {
                let edit = Edit { message: Some(format!("edited in {step}")), ..Edit::default() };
                node.store.edit(any(&mut dice, &ids), edit).await.unwrap();
            }
            6 if dice.roll(3) == 0 => _ = node.store.recall(any(&mut dice, &ids)).await.unwrap(),
            7 if all_at_once => {
                let op =
                    [MarkOp::Read, MarkOp::Seen, MarkOp::Archive, MarkOp::Unarchive][dice.roll(4) as usize];
                node.mark(op, MarkTarget::UpTo(Revision::MAX)).await;
            }
            _ => {
                let op = MarkOp::ALL[dice.roll(5) as usize];
                node.mark(op, MarkTarget::Ids(vec![any(&mut dice, &ids)])).await;
            }
        }
    }
}

/// One of the seeds may be set from outside, to run what failed again.
fn seeds() -> Vec<u64> {
    match std::env::var("TIDINGS_PUMP_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=8).map(|n| 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(n)).collect(),
    }
}

async fn agree(node: &Node, devices: Vec<Device>, seed: u64) -> Vec<Device> {
    let head = node.calm_down().await;
    let picture = node.picture().await;
    let counts = node.store.counts(&node.user, None).await.unwrap();
    let mut done = Vec::new();
    for mut device in devices {
        device.follow(head, &mut Dice(seed)).await;
        if device.start == 0 {
            assert_eq!(device.picture, picture, "the device's picture is not the inbox");
        }
        assert_eq!(device.badge, Some(counts.unread), "the badge is not the count");
        done.push(device);
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_devices_picture_equals_the_inbox() {
    for seed in seeds() {
        eprintln!("TIDINGS_PUMP_SEED={seed}");
        let node = Arc::new(Node::start(seed));
        let mut following = node.attach("following", 0).await;
        let disturbing = {
            let node = node.clone();
            tokio::spawn(async move { disturb(&node, seed, 400, true).await })
        };
        following.follow(100, &mut Dice(seed)).await;
        let late = node.attach("late", 0).await;
        let middle = node.attach("middle", 50).await;
        disturbing.await.unwrap();
        let after = node.attach("after", 0).await;
        agree(&node, vec![following, late, middle, after], seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_never_had_comes_as_new_exactly_once_however_it_changed_meanwhile() {
    for seed in seeds() {
        eprintln!("TIDINGS_PUMP_SEED={seed}");
        let node = Arc::new(Node::start(seed));
        disturb(&node, seed, 300, false).await;
        // Many pages to resume, while everything in them goes on changing.
        let resuming = node.attach("resuming", 0).await;
        let disturbing = {
            let node = node.clone();
            tokio::spawn(async move { disturb(&node, seed ^ 1, 300, false).await })
        };
        let mut resuming = resuming;
        resuming.follow(150, &mut Dice(seed)).await;
        disturbing.await.unwrap();
        for device in agree(&node, vec![resuming], seed).await {
            for id in device.picture.keys() {
                assert_eq!(device.told_as_new.get(id), Some(&1), "{id}");
            }
            assert!(device.told_as_new.values().all(|times| *times == 1));
        }
    }
}

#[tokio::test]
async fn a_seat_that_is_left_takes_its_feed_along() {
    let node = Node::start(1);
    let device = node.attach("d", 0).await;
    assert_eq!(node.hub.online_here(&node.user).len(), 1);
    drop(device);
    assert!(node.hub.online_here(&node.user).is_empty());
}

#[tokio::test]
async fn a_user_may_have_only_so_many_readers() {
    let node = Node::start(1);
    let join = |name: &str| node.hub.join(&node.user, DeviceId::new(name).unwrap(), "sse", 2);
    let (_one, two) = (join("1").unwrap(), join("2").unwrap());
    assert!(join("3").is_err());
    drop(two);
    assert!(join("3").is_ok());
}
