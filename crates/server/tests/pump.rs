//! The pump against a real store, with news that is lost, doubled and late: whatever the bus does, a device's picture
//! equals the inbox, each revision comes once and in order, and what a device never had comes as a new notification.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod rig;

use rig::{Chaos, Device, Dice, Inbox, Senders, agree, disturb, seeds};
use std::sync::Arc;
use tidings::realtime::Hub;
use tidings_bus::{Bus, Listener, LocalBus};
use tidings_domain::{Content, DeviceId, MarkOp, MarkTarget, NotificationId, Revision, SystemClock, UserId};
use tidings_store::{Appended, Outgoing, Store};
use tidings_store_sqlite::{Options, SqliteStore};

struct Node {
    inbox: Inbox,
    hub: Arc<Hub>,
    chaos: Arc<Chaos>,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chaos = Arc::new(Chaos::new(Arc::new(LocalBus::new(tidings_bus::Link::Alone)), seed));
        let senders = Arc::new(Senders::new(vec![chaos.clone()], seed));
        let store =
            SqliteStore::open(folder.path(), Options::default(), Arc::new(SystemClock), senders).unwrap();
        let hub = Hub::new(chaos.clone());
        chaos.listen(store.epoch(), Arc::downgrade(&(hub.clone() as Arc<dyn Listener>)));
        let inbox = Inbox { store: Arc::new(store), user: UserId::new("ana").unwrap() };
        Self { inbox, hub, chaos, _folder: folder }
    }

    async fn attach(&self, device: &str, cursor: Revision) -> Device {
        self.inbox.attach(&self.hub, device, cursor).await
    }

    /// The last change is heard by everybody.
    async fn calm_down(&self) {
        self.chaos.calm_down();
        self.inbox.send("the last one").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_devices_picture_equals_the_inbox() {
    for seed in seeds() {
        eprintln!("TIDINGS_PUMP_SEED={seed}");
        let node = Arc::new(Node::start(seed));
        let mut following = node.attach("following", 0).await;
        let disturbing = {
            let node = node.clone();
            tokio::spawn(async move { disturb(&node.inbox, seed, 400, true).await })
        };
        following.follow(100, &mut Dice(seed)).await;
        let late = node.attach("late", 0).await;
        let middle = node.attach("middle", 50).await;
        disturbing.await.unwrap();
        let after = node.attach("after", 0).await;
        node.calm_down().await;
        agree(&node.inbox, vec![following, late, middle, after], seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_never_had_comes_as_new_exactly_once_however_it_changed_meanwhile() {
    for seed in seeds() {
        eprintln!("TIDINGS_PUMP_SEED={seed}");
        let node = Arc::new(Node::start(seed));
        disturb(&node.inbox, seed, 300, false).await;
        // Many pages to resume, while everything in them goes on changing.
        let resuming = node.attach("resuming", 0).await;
        let disturbing = {
            let node = node.clone();
            tokio::spawn(async move { disturb(&node.inbox, seed ^ 1, 300, false).await })
        };
        let mut resuming = resuming;
        resuming.follow(150, &mut Dice(seed)).await;
        disturbing.await.unwrap();
        node.calm_down().await;
        for device in agree(&node.inbox, vec![resuming], seed).await {
            for id in device.picture.keys() {
                assert_eq!(device.told_as_new.get(id), Some(&1), "{id}");
            }
            assert!(device.told_as_new.values().all(|times| *times == 1));
        }
    }
}

/// A device whose connection is cut again and again, a few events into each resume, while the inbox goes on changing. Each
/// time it has lost some of what was on its way, and comes back with what it got.
async fn is_cut_again_and_again(seed: u64, by_number: bool) {
    let node = Arc::new(Node::start(seed));
    let mut device = node.attach("cut", 0).await;
    let mut dice = Dice(seed);
    for round in 0..40 {
        disturb(&node.inbox, seed.wrapping_mul(round + 3) | 1, 12, false).await;
        device.take_some(1 + dice.roll(8) as usize).await;
        if dice.roll(3) > 0 {
            node.inbox.come_back(&node.hub, "cut", &mut device, by_number).await;
        }
    }
    node.calm_down().await;
    for device in agree(&node.inbox, vec![device], seed).await {
        for id in device.picture.keys() {
            assert_eq!(device.told_as_new.get(id), Some(&1), "{id}");
        }
        assert!(device.told_as_new.values().all(|times| *times == 1), "told as new twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_had_comes_as_new_once_however_often_the_resume_is_cut() {
    for seed in seeds() {
        for by_number in [false, true] {
            eprintln!("TIDINGS_PUMP_SEED={seed} by number: {by_number}");
            is_cut_again_and_again(seed, by_number).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_larger_than_an_event_comes_in_parts_and_a_cut_between_two_repeats_them() {
    let node = Node::start(1);
    let data = format!("{{\"text\":\"{}\"}}", "x".repeat(12_000));
    let mut ids = Vec::new();
    for n in 0..60 {
        ids.push(node.inbox.send_with(&format!("{n}"), &data).await);
    }
    node.inbox.mark(MarkOp::Read, MarkTarget::UpTo(Revision::MAX)).await;
    // 720 KB in one revision: it never fits into one event.
    let mut device = node.attach("parts", 0).await;
    let first = device.take_one().await;
    assert_eq!((first["part"]["index"].as_u64(), first["part"]["of"].as_u64()), (Some(0), Some(3)));
    assert_eq!((device.cursor, first["rev"].as_u64()), (0, Some(61)));
    // Meanwhile one of another part moves away, and the line is cut.
    node.inbox.mark(MarkOp::Archive, MarkTarget::Ids(vec![ids[59]])).await;
    node.inbox.come_back(&node.hub, "parts", &mut device, false).await;
    let parts: Vec<u64> = [device.take_one().await, device.take_one().await, device.take_one().await]
        .iter()
        .map(|part| part["part"]["index"].as_u64().unwrap())
        .collect();
    assert_eq!((parts, device.cursor), (vec![0, 1, 2], 61));
    for device in agree(&node.inbox, vec![device], 1).await {
        assert_eq!(device.picture.len(), 60);
        assert_eq!(
            device.told_as_new.get(&ids[59].to_string()),
            Some(&1),
            "it came alone, and was never had"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_change_larger_than_an_event_comes_in_parts() {
    let node = Node::start(1);
    node.chaos.calm_down();
    let mut device = node.attach("live", 0).await;
    let mut ids = Vec::new();
    for n in 0..8_000 {
        ids.push(n);
    }
    let content = Arc::new(Content::text("m"));
    let outgoing = ids.iter().map(|_| Outgoing {
        user_id: node.inbox.user.clone(),
        id: NotificationId::new(uuid::Uuid::now_v7()),
        content: content.clone(),
        expires_at: None,
        collapse_key: None,
    });
    let receipts = node.inbox.store.append(outgoing.collect(), None).await.unwrap();
    let Appended::Stored(receipts) = receipts else { panic!("a replay") };
    device.follow(8_000, &mut Dice(1)).await;
    // Their ids alone are larger than an event may be.
    let all = receipts.iter().map(|receipt| receipt.id).collect();
    node.inbox.mark(MarkOp::Delete, MarkTarget::Ids(all)).await;
    let first = device.take_one().await;
    assert_eq!(first["part"]["index"].as_u64(), Some(0));
    agree(&node.inbox, vec![device], 1).await;
}

#[tokio::test]
async fn a_seat_that_is_left_takes_its_feed_along() {
    let node = Node::start(1);
    let device = node.attach("d", 0).await;
    assert_eq!(node.hub.online_here(&node.inbox.user).len(), 1);
    drop(device);
    assert!(node.hub.online_here(&node.inbox.user).is_empty());
}

#[tokio::test]
async fn a_user_may_have_only_so_many_readers() {
    let node = Node::start(1);
    let join = |name: &str| node.hub.join(&node.inbox.user, DeviceId::new(name).unwrap(), "sse", 2);
    let (_one, two) = (join("1").unwrap(), join("2").unwrap());
    assert!(join("3").is_err());
    drop(two);
    assert!(join("3").is_ok());
}
