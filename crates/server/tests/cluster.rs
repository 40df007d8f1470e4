//! Several nodes on one store, with a real Redis between them: wherever a change is made, every device's picture equals the
//! inbox, whatever is lost on the way.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

#[path = "../../bus/tests/rig/mod.rs"]
mod redis_rig;
mod rig;

use futures_util::FutureExt;
use redis_rig::{DEADLINE, Redis, until};
use rig::{Chaos, Device, Dice, Inbox, Senders, agree, disturb, seeds};
use std::sync::Arc;
use tidings::realtime::{Hub, check_heads};
use tidings::revocation::Issued;
use tidings_bus::{Bus, Link, Listener, LocalBus, RedisBus, RedisUrl};
use tidings_domain::{DeviceId, SystemClock, Timestamp, UserId};
use tidings_store::{Silent, Store};
use tidings_store_sqlite::{Options, SqliteStore};
use tokio::task::AbortHandle;

struct Node {
    hub: Arc<Hub>,
    chaos: Arc<Chaos>,
    bus: Arc<RedisBus>,
    checking: AbortHandle,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.checking.abort();
    }
}

struct Cluster {
    inbox: Inbox,
    nodes: Vec<Node>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start(url: &RedisUrl, nodes: usize, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = tidings_bus::Options { answers_within: DEADLINE, ..tidings_bus::Options::default() };
        let buses: Vec<_> =
            (0..nodes).map(|_| Arc::new(RedisBus::new(url.clone(), options.clone()))).collect();
        let chaos: Vec<_> = (1..)
            .zip(&buses)
            .map(|(n, bus)| Arc::new(Chaos::new(bus.clone(), seed.wrapping_mul(n) | 1)))
            .collect();
        let senders = Arc::new(Senders::new(chaos.clone(), seed));
        let store =
            SqliteStore::open(folder.path(), Options::default(), Arc::new(SystemClock), senders).unwrap();
        let store = Arc::new(store);
        let nodes: Vec<_> = buses
            .into_iter()
            .zip(chaos)
            .map(|(bus, chaos)| {
                let hub = Hub::new(chaos.clone());
                bus.listen(store.epoch(), Arc::downgrade(&(hub.clone() as Arc<dyn Listener>)));
                let checking = tokio::spawn(check_heads(hub.clone(), store.clone())).abort_handle();
                Node { hub, chaos, bus, checking }
            })
            .collect();
        let inbox = Inbox { store, user: UserId::new("ana").unwrap() };
        let cluster = Self { inbox, nodes, _folder: folder };
        cluster.are(Link::Up).await;
        cluster
    }

    async fn are(&self, link: Link) {
        for node in &self.nodes {
            until("the link to change", async || node.bus.link() == link).await;
        }
    }

    fn calm_down(&self) {
        self.nodes.iter().for_each(|node| node.chaos.calm_down());
    }

    /// A device on each node.
    async fn devices(&self, name: &str) -> Vec<Device> {
        let mut devices = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            devices.push(self.inbox.attach(&node.hub, &format!("{name} {index}"), 0).await);
        }
        devices
    }

    /// Every device gets there, and shows what the store has.
    async fn agree(&self, devices: Vec<Device>, seed: u64) -> Vec<Device> {
        tokio::time::timeout(DEADLINE, agree(&self.inbox, devices, seed))
            .await
            .expect("a device waits in vain")
    }

    fn disturb(&self, seed: u64) -> tokio::task::JoinHandle<()> {
        let inbox = self.inbox.clone();
        tokio::spawn(async move { disturb(&inbox, seed, 200, true).await })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_on_every_node_agree_whatever_is_lost_doubled_or_late() {
    let redis = Redis::start().await;
    for seed in seeds() {
        eprintln!("TIDINGS_PUMP_SEED={seed}");
        let cluster = Cluster::start(&redis.url(), 3, seed).await;
        let mut devices = cluster.devices("early").await;
        let disturbing = cluster.disturb(seed);
        devices.extend(cluster.devices("late").await);
        disturbing.await.unwrap();
        cluster.calm_down();
        cluster.inbox.send("the last one").await;
        cluster.agree(devices, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_on_a_cluster_of_redis() {
    let redis = Redis::start_cluster(3).await;
    let seed = seeds()[0];
    let cluster = Cluster::start(&redis[0].url(), 3, seed).await;
    let devices = cluster.devices("early").await;
    cluster.disturb(seed).await.unwrap();
    cluster.calm_down();
    cluster.inbox.send("the last one").await;
    cluster.agree(devices, seed).await;
    assert!(cluster.nodes.iter().all(|node| node.bus.stats().decoded > 0));
}

/// No news at all gets through: what the devices of other nodes get, they get by checks of their heads.
async fn without_redis(break_it: impl FnOnce(&mut Redis), mend_it: impl AsyncFnOnce(&mut Redis)) {
    let mut redis = Redis::start().await;
    let seed = seeds()[0];
    let cluster = Cluster::start(&redis.url(), 2, seed).await;
    cluster.calm_down();
    let devices = cluster.devices("d").await;
    cluster.disturb(seed).await.unwrap();
    let devices = cluster.agree(devices, seed).await;

    break_it(&mut redis);
    cluster.disturb(seed ^ 1).await.unwrap();
    let devices = cluster.agree(devices, seed).await;
    cluster.are(Link::Down).await;
    cluster.inbox.send("while it is away").await;
    let devices = cluster.agree(devices, seed).await;

    mend_it(&mut redis).await;
    cluster.are(Link::Up).await;
    let before: Vec<u64> = cluster.nodes.iter().map(|node| node.bus.stats().decoded).collect();
    cluster.disturb(seed ^ 2).await.unwrap();
    cluster.agree(devices, seed).await;
    for (node, before) in cluster.nodes.iter().zip(before) {
        until("news to cross again", async || node.bus.stats().decoded > before).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_redis_costs_time_only() {
    without_redis(Redis::kill, async |redis| redis.start_again().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_costs_time_only() {
    without_redis(|redis| redis.hang(), async |redis| redis.go_on()).await;
}

/// A node that nobody tells anything: what it finds, it finds because it was told to look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_before_news_flowed_is_found_when_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::default(), Arc::new(SystemClock), Arc::new(Silent))
        .unwrap();
    let store = Arc::new(store);
    let hub = Hub::new(Arc::new(LocalBus::new(tidings_bus::Link::Alone)));
    let checking = tokio::spawn(check_heads(hub.clone(), store.clone()));
    let inbox = |name: &str| Inbox { store: store.clone(), user: UserId::new(name).unwrap() };

    let ana = inbox("ana");
    let mut device = ana.attach(&hub, "d", 0).await;
    ana.send("between the head and the subscription").await;
    let seat = hub.join(&ana.user, DeviceId::new("with a token").unwrap(), "sse", 0).unwrap();
    seat.feed.set_issued(seat.key, Some(Issued(None)));
    store.revoke(&ana.user, Timestamp::from_millis(1)).await.unwrap();
    hub.joined(std::slice::from_ref(&ana.user));
    tokio::time::timeout(DEADLINE, seat.feed.ended(seat.key)).await.expect("a session goes on");
    tokio::time::timeout(DEADLINE, device.follow(1, &mut Dice(1))).await.expect("ana waits in vain");

    // More than one call to the store reads, and than wait one by one.
    let mut others = Vec::new();
    for n in 0..600 {
        let inbox = inbox(&format!("user {n}"));
        let device = inbox.attach(&hub, "d", 0).await;
        others.push((inbox, device));
    }
    for (inbox, _) in &others {
        inbox.send("in the gap").await;
    }
    hub.gap();
    for (inbox, device) in &mut others {
        let mut dice = Dice(1);
        let following = tokio::time::timeout(DEADLINE, device.follow(1, &mut dice));
        following.await.unwrap_or_else(|_| panic!("{} waits in vain", inbox.user));
    }
    checking.abort();
}

/// The question may be lost like any news; the store knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_although_nobody_could_be_told() {
    let mut redis = Redis::start().await;
    let cluster = Cluster::start(&redis.url(), 2, 1).await;
    let Cluster { inbox: Inbox { store, user }, nodes, .. } = &cluster;
    let at = Timestamp::from_millis;
    let join = |device: &str, issued: Option<Issued>| {
        let seat = nodes[1].hub.join(user, DeviceId::new(device).unwrap(), "sse", 0).unwrap();
        seat.feed.set_issued(seat.key, issued);
        seat
    };
    let older = join("older", Some(Issued(Some(at(1_000)))));
    let silent = join("does not say when", Some(Issued(None)));
    let newer = join("newer", Some(Issued(Some(at(3_000)))));
    let other = join("without a token", None);
    redis.kill();
    cluster.are(Link::Down).await;
    store.revoke(user, at(2_000)).await.unwrap();
    assert_eq!(nodes[0].hub.end(user).await, 0);
    for seat in [&older, &silent] {
        let ended = tokio::time::timeout(DEADLINE, seat.feed.ended(seat.key));
        ended.await.expect("a session goes on");
    }
    for seat in [&newer, &other] {
        assert_eq!(seat.feed.ended(seat.key).now_or_never(), None, "ended with the others");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn false_news_is_looked_for_once_and_forgotten() {
    let redis = Redis::start().await;
    let seed = seeds()[0];
    let cluster = Cluster::start(&redis.url(), 1, seed).await;
    cluster.calm_down();
    let devices = cluster.devices("d").await;
    cluster.inbox.send("one").await;
    let mut device = cluster.agree(devices, seed).await.remove(0);
    cluster.nodes[0].hub.raised(&cluster.inbox.user, u64::MAX);
    assert_eq!(device.heard(), u64::MAX);
    until("the false news to be forgotten", async || {
        device.wait_for_nothing().await;
        device.heard() == 1
    })
    .await;
    cluster.inbox.send("two").await;
    cluster.agree(vec![device], seed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_are_online_and_sessions_end_across_nodes() {
    let mut redis = Redis::start().await;
    let cluster = Cluster::start(&redis.url(), 3, 1).await;
    let user = &cluster.inbox.user;
    let join = |node: usize, device: &str, transport| {
        cluster.nodes[node].hub.join(user, DeviceId::new(device).unwrap(), transport, 0).unwrap()
    };
    let seats = [join(0, "phone", "websocket"), join(0, "tab", "polling"), join(1, "desk", "sse")];
    until("the nodes to be subscribed", async || redis.subscribers("tidings:u:ana").await == 2).await;
    for node in &cluster.nodes {
        let mut online: Vec<String> = node
            .hub
            .online(user)
            .await
            .iter()
            .map(|online| format!("{} by {}", online.device, online.transport))
            .collect();
        online.sort();
        assert_eq!(online, ["desk by sse", "phone by websocket", "tab by polling"]);
    }
    // Asked on a node that holds none of them.
    assert_eq!(cluster.nodes[2].hub.end(user).await, 3);
    for seat in &seats {
        let ended = tokio::time::timeout(DEADLINE, seat.feed.ended(seat.key));
        ended.await.expect("a session goes on");
    }
    drop(seats);
    assert_eq!(cluster.nodes[1].hub.online(user).await, []);
    assert_eq!(cluster.nodes[1].hub.end(user).await, 0);

    // Without Redis what is here is known.
    let _seats = [join(0, "phone", "websocket"), join(1, "desk", "sse")];
    redis.kill();
    cluster.are(Link::Down).await;
    assert_eq!(cluster.nodes[0].hub.online(user).await.len(), 1);
    assert_eq!(cluster.nodes[0].hub.end(user).await, 1);
}
