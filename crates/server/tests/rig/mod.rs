//! What tests of devices share: an inbox that changes at random, and devices that follow it.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses what it needs; a panic is a test's report")]

use async_trait::async_trait;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tidings::realtime::{Hub, Pump, Served};
use tidings_bus::{Answer, Bus, Link, Listener, Question};
use tidings_domain::{
    Change, Content, Cursor, DeviceId, Epoch, Mark, MarkOp, MarkTarget, Moved, NotificationId, Revision,
    Unserved, UserId,
};
use tidings_store::{ArchivedFilter, Edit, InboxQuery, Observer, Outgoing, Range, Registration, Store};
use tidings_store_sqlite::SqliteStore;

/// A small generator; the seed is all there is to a run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A bus that loses, doubles and delays one in ten each of what is published, until it is calmed.
pub struct Chaos {
    bus: Arc<dyn Bus>,
    state: Mutex<(Dice, Vec<Arc<Change>>, bool)>,
}

impl Chaos {
    pub fn new(bus: Arc<dyn Bus>, seed: u64) -> Self {
        Self { bus, state: Mutex::new((Dice(seed), Vec::new(), false)) }
    }

    /// From now on nothing is lost.
    pub fn calm_down(&self) {
        self.state.lock().unwrap().2 = true;
    }
}

#[async_trait]
impl Bus for Chaos {
    fn publish(&self, change: Arc<Change>) {
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

    fn listen(&self, epoch: &Epoch, listener: Weak<dyn Listener>) {
        self.bus.listen(epoch, listener);
    }
    fn join(&self, user: &UserId) {
        self.bus.join(user);
    }
    fn leave(&self, user: &UserId) {
        self.bus.leave(user);
    }
    async fn ask(&self, user: &UserId, question: Question) -> Vec<Answer> {
        self.bus.ask(user, question).await
    }
    fn link(&self) -> Link {
        self.bus.link()
    }
}

/// Stands for the nodes that send: each change is published by one of them.
pub struct Senders {
    nodes: Vec<Arc<Chaos>>,
    dice: Mutex<Dice>,
}

impl Senders {
    pub fn new(nodes: Vec<Arc<Chaos>>, seed: u64) -> Self {
        Self { nodes, dice: Mutex::new(Dice(seed)) }
    }
}

impl Observer for Senders {
    fn committed(&self, change: Change) {
        let index = self.dice.lock().unwrap().roll(self.nodes.len() as u64) as usize;
        self.nodes[index].publish(Arc::new(change));
    }
}

/// One user's inbox.
#[derive(Clone)]
pub struct Inbox {
    pub store: Arc<SqliteStore>,
    pub user: UserId,
}

impl Inbox {
    /// A device at a node.
    pub async fn attach(&self, hub: &Arc<Hub>, device: &str, cursor: Revision) -> Device {
        let pump = self.pump(hub, device, cursor, &Unserved::default()).await;
        Device {
            pump,
            offset: String::new(),
            start: cursor,
            cursor,
            picture: BTreeMap::new(),
            told_as_new: BTreeMap::new(),
            badge: None,
        }
    }

    async fn pump(&self, hub: &Arc<Hub>, device: &str, cursor: Revision, unserved: &Unserved) -> Pump {
        let device = DeviceId::new(device).unwrap();
        let seat = hub.join(&self.user, device.clone(), "websocket", 0).unwrap();
        let located = self.store.locate(&self.user, Some(&device)).await.unwrap();
        let registration =
            Registration { device_id: device.clone(), pid: None, start: cursor, transport: "websocket" };
        self.store.register(&self.user, registration).await.unwrap();
        Pump::new(self.store.clone(), seat, device, &located, cursor, unserved)
    }

    /// The device's connection is cut, and it comes back: with its last offset, or with the number alone.
    pub async fn come_back(&self, hub: &Arc<Hub>, name: &str, device: &mut Device, by_number: bool) {
        let unserved = if by_number {
            let located = self.store.locate(&self.user, Some(&DeviceId::new(name).unwrap())).await.unwrap();
            located.resume.map(|note| Moved::noted_at(&note, device.cursor)).unwrap_or_default()
        } else {
            device.offset.parse::<Cursor>().map(|cursor| cursor.unserved).unwrap_or_default()
        };
        device.pump = self.pump(hub, name, device.cursor, &unserved).await;
    }

    pub async fn head(&self) -> Revision {
        self.store.locate(&self.user, None).await.unwrap().head
    }

    pub async fn send(&self, message: &str) -> NotificationId {
        self.send_with(message, "{}").await
    }

    pub async fn send_with(&self, message: &str, data: &str) -> NotificationId {
        let id = NotificationId::new(uuid::Uuid::now_v7());
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let content = Arc::new(Content { data, ..Content::text(message) });
        let outgoing =
            Outgoing { user_id: self.user.clone(), id, content, expires_at: None, collapse_key: None };
        self.store.append(vec![outgoing], None).await.unwrap();
        id
    }

    pub async fn mark(&self, op: MarkOp, target: MarkTarget) {
        self.store.mark(&self.user, Mark { op, target, category: None }).await.unwrap();
    }

    pub async fn picture(&self) -> BTreeMap<String, Value> {
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
pub struct Device {
    pump: Pump,
    /// The last argument of the last event.
    offset: String,
    pub start: Revision,
    pub cursor: Revision,
    pub picture: BTreeMap<String, Value>,
    pub told_as_new: BTreeMap<String, u32>,
    badge: Option<u64>,
}

impl Device {
    /// How far it has heard that the log has come.
    pub fn heard(&self) -> Revision {
        self.pump.head()
    }

    /// Looks for what is new; there must be nothing.
    pub async fn wait_for_nothing(&mut self) {
        let waiting = tokio::time::timeout(Duration::from_millis(1), self.pump.next(64, 2000));
        assert!(waiting.await.is_err(), "there was something");
    }

    /// Takes one event; gives its first argument.
    pub async fn take_one(&mut self) -> Value {
        match self.pump.next(1, 2000).await {
            Served::Frames(frames) => {
                let [frame] = &frames[..] else { panic!("{} events", frames.len()) };
                self.apply(frame.packet.json());
                let event: Vec<Value> = serde_json::from_str(frame.packet.json()).unwrap();
                event[1].clone()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Takes a few events, at most.
    pub async fn take_some(&mut self, most: usize) {
        let served = tokio::time::timeout(Duration::from_millis(20), self.pump.next(most, 2000)).await;
        if let Ok(Served::Frames(frames)) = served {
            // What was on its way when the connection was cut is lost.
            frames.iter().take(most).for_each(|frame| self.apply(frame.packet.json()));
        }
    }

    /// Takes everything up to `head`.
    pub async fn follow(&mut self, head: Revision, dice: &mut Dice) {
        while self.cursor < head {
            // Interrupted at random, as a session is by a client's events.
            let patience = Duration::from_micros(dice.roll(400));
            let frames = 1 + dice.roll(20) as usize;
            let served = tokio::time::timeout(patience, self.pump.next(frames, 2000)).await;
            match served {
                Err(_) => {}
                Ok(Served::Resync(reason)) => panic!("{reason}"),
                Ok(Served::Broken) => panic!("an event could not be encoded"),
                Ok(Served::Frames(frames)) => frames.iter().for_each(|frame| self.apply(frame.packet.json())),
            }
        }
    }

    fn apply(&mut self, json: &str) {
        let event: Vec<Value> = serde_json::from_str(json).unwrap();
        let offset = event.last().and_then(Value::as_str).unwrap();
        self.offset = offset.to_owned();
        let rev = offset.parse::<Cursor>().unwrap().rev;
        if let Some(part) = event[1].get("part") {
            assert_eq!(event[1]["prev"], self.cursor, "a gap");
            let is_last = part["index"].as_u64().unwrap() + 1 == part["of"].as_u64().unwrap();
            assert_eq!(rev > self.cursor, is_last, "only the last part moves the cursor");
        } else {
            assert!(rev > self.cursor, "revision {rev} after {}", self.cursor);
        }
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

/// Changes the inbox at random.
pub async fn disturb(inbox: &Inbox, seed: u64, steps: u64, all_at_once: bool) {
    let mut dice = Dice(seed);
    let mut ids = Vec::new();
    for step in 0..steps {
        let any = |dice: &mut Dice, ids: &[NotificationId]| ids[dice.roll(ids.len() as u64) as usize];
        match dice.roll(10) {
            0..=4 => ids.push(inbox.send(&format!("number {step}")).await),
            _ if ids.is_empty() => {}
            5 => {
                let edit = Edit { message: Some(format!("edited in {step}")), ..Edit::default() };
                inbox.store.edit(any(&mut dice, &ids), edit).await.unwrap();
            }
            6 if dice.roll(3) == 0 => _ = inbox.store.recall(any(&mut dice, &ids)).await.unwrap(),
            7 if all_at_once => {
                let op =
                    [MarkOp::Read, MarkOp::Seen, MarkOp::Archive, MarkOp::Unarchive][dice.roll(4) as usize];
                inbox.mark(op, MarkTarget::UpTo(Revision::MAX)).await;
            }
            _ => {
                let op = MarkOp::ALL[dice.roll(5) as usize];
                inbox.mark(op, MarkTarget::Ids(vec![any(&mut dice, &ids)])).await;
            }
        }
    }
}

/// One of the seeds may be set from outside, to run what failed again.
pub fn seeds() -> Vec<u64> {
    match std::env::var("TIDINGS_PUMP_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=8).map(|n| 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(n)).collect(),
    }
}

/// Lets every device follow to the head, and compares what they show with the store.
pub async fn agree(inbox: &Inbox, devices: Vec<Device>, seed: u64) -> Vec<Device> {
    let head = inbox.head().await;
    let picture = inbox.picture().await;
    let counts = inbox.store.counts(&inbox.user, None).await.unwrap();
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
