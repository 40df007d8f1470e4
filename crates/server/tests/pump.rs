//! The pump against a real store, with news that is lost, doubled and late: whatever the bus does, a device's picture
//! equals the inbox, each revision comes once and in order, and what a device never had comes as a new notification.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod rig;

use rig::{Chaos, Device, Dice, Inbox, Senders, agree, disturb, seeds};
use std::sync::Arc;
use tidings::realtime::Hub;
use tidings_bus::{Bus, Listener, LocalBus};
use tidings_domain::{DeviceId, Revision, SystemClock, UserId};
use tidings_store::Store;
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
        let hub = Hub::new(store.epoch().clone(), chaos.clone());
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
