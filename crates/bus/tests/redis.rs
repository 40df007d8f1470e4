//! The bus of a cluster against a real Redis.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod rig;

use rig::{DEADLINE, Redis, until};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tidings_bus::{Answer, Bus, Link, Listener, Online, Options, Question, RedisBus, RedisUrl};
use tidings_domain::{
    Change, Content, Counts, DeviceId, Epoch, Kind, MarkOp, MarkTarget, Notification, NotificationId,
    Revision, State, Timestamp, UserId,
};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

#[derive(Debug)]
enum Event {
    Heard(Arc<Change>),
    Raised(UserId, Revision),
    Joined(Vec<UserId>),
    Gap,
    Asked(UserId),
}

/// Writes down what it hears.
struct Ear {
    name: &'static str,
    events: UnboundedSender<Event>,
}

impl Listener for Ear {
    fn heard(&self, change: &Arc<Change>) {
        let _ = self.events.send(Event::Heard(change.clone()));
    }
    fn raised(&self, user: &UserId, rev: Revision) {
        let _ = self.events.send(Event::Raised(user.clone(), rev));
    }
    fn joined(&self, users: &[UserId]) {
        let _ = self.events.send(Event::Joined(users.to_vec()));
    }
    fn gap(&self) {
        let _ = self.events.send(Event::Gap);
    }
    fn asked(&self, user: &UserId, question: Question) -> Answer {
        let _ = self.events.send(Event::Asked(user.clone()));
        match question {
            Question::WhoIsOnline => {
                Answer::Online(vec![Online { device: DeviceId::new(self.name).unwrap(), transport: "sse" }])
            }
            Question::EndSessions => Answer::Ended(2),
        }
    }
}

struct Node {
    bus: RedisBus,
    events: Mutex<UnboundedReceiver<Event>>,
    _ear: Arc<dyn Listener>,
}

fn epoch() -> Epoch {
    Epoch::new("e1").unwrap()
}

impl Node {
    fn start_with(name: &'static str, url: RedisUrl, options: Options, epoch: &Epoch) -> Self {
        let (events, heard) = unbounded_channel();
        let ear: Arc<dyn Listener> = Arc::new(Ear { name, events });
        let bus = RedisBus::new(url, options);
        let listening: Weak<dyn Listener> = Arc::downgrade(&ear);
        bus.listen(epoch, listening);
        Self { bus, events: Mutex::new(heard), _ear: ear }
    }

    async fn start(name: &'static str, redis: &Redis) -> Self {
        let options = Options { answers_within: DEADLINE, ..Options::default() };
        let node = Self::start_with(name, redis.url(), options, &epoch());
        node.is(Link::Up).await;
        node
    }

    async fn is(&self, link: Link) {
        until("the link to change", async || self.bus.link() == link).await;
    }

    /// The first event that fits; what comes before it is forgotten.
    async fn next<T>(&self, what: &str, mut fits: impl FnMut(Event) -> Option<T>) -> T {
        let mut events = self.events.lock().await;
        let waiting = async {
            loop {
                if let Some(found) = fits(events.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    async fn join(&self, names: &[&UserId]) {
        names.iter().for_each(|name| self.bus.join(name));
        let mut left: Vec<UserId> = names.iter().map(|name| (*name).clone()).collect();
        self.next("the subscriptions to hold", |event| {
            if let Event::Joined(users) = event {
                left.retain(|user| !users.contains(user));
            }
            left.is_empty().then_some(())
        })
        .await;
    }

    /// The next change of this user.
    async fn hears(&self, user: &UserId) -> Arc<Change> {
        self.next(&format!("news of {user}"), |event| match event {
            Event::Heard(change) if change.user_id == *user => Some(change),
            _ => None,
        })
        .await
    }

    async fn gap(&self) {
        self.next("a gap", |event| matches!(event, Event::Gap).then_some(())).await;
    }

    /// Everything that has been heard, nothing awaited.
    async fn heard_by_now(&self) -> Vec<Revision> {
        let mut events = self.events.lock().await;
        let mut heard = Vec::new();
        while let Ok(event) = events.try_recv() {
            if let Event::Heard(change) = event {
                heard.push(change.rev);
            }
        }
        heard
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn sent(user_id: &UserId, rev: Revision, message: &str) -> Arc<Change> {
    let notification = Notification {
        id: NotificationId::new(uuid::Uuid::now_v7()),
        user_id: user_id.clone(),
        seq: rev,
        rev,
        content: Content::text(message),
        state: State::default(),
        timestamp: Timestamp::from_millis(1_800_000_000_000),
        edited_at: None,
        expires_at: None,
    };
    let counts = Counts { unread: rev, unseen: rev, total: rev };
    Arc::new(Change { user_id: user_id.clone(), rev, counts, kind: Kind::Sent(Box::new(notification)) })
}

fn same(one: &Change, other: &Change) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

#[tokio::test]
async fn news_crosses_whole_and_is_heard_at_once_where_it_was_made() {
    let redis = Redis::start().await;
    let (a, b) = (Node::start("a", &redis).await, Node::start("b", &redis).await);
    let odd = user("\u{1F4EE} {x}} {y} * ? [z] \\ \"'");
    let names = [user("ana"), odd, user(&"ü".repeat(64))];
    for name in &names {
        a.join(&[name]).await;
        b.join(&[name]).await;
        let change = sent(name, 1, "hello");
        a.bus.publish(change.clone());
        assert!(same(&*b.hears(name).await, &change));
        // B's answer comes to A after the echo of A's own, which must not be heard again.
        b.bus.publish(sent(name, 2, "back"));
        assert_eq!(a.hears(name).await.rev, 1);
        assert_eq!(a.hears(name).await.rev, 2);
    }
    let counts = a.bus.stats();
    assert_eq!((counts.decoded, counts.refused, counts.foreign), (3, 0, 0), "{counts:?}");
    assert!(counts.own >= 3, "{counts:?}");
}

#[tokio::test]
async fn a_large_change_is_told_by_its_number() {
    let redis = Redis::start().await;
    let (a, b) = (Node::start("a", &redis).await, Node::start("b", &redis).await);
    let ana = user("ana");
    b.join(&[&ana]).await;
    let ids = (0..500).map(|_| NotificationId::new(uuid::Uuid::now_v7())).collect();
    let kind = Kind::Marked { op: MarkOp::Read, target: MarkTarget::Ids(ids), category: None };
    a.bus.publish(Arc::new(Change { user_id: ana.clone(), rev: 7, counts: Counts::default(), kind }));
    let raised = |event| match event {
        Event::Raised(user, rev) => Some((user, rev)),
        _ => None,
    };
    assert_eq!(b.next("the number", raised).await, (ana, 7));
}

#[tokio::test]
async fn a_node_decodes_the_news_of_its_own_users_only() {
    let redis = Redis::start().await;
    let nodes =
        [Node::start("a", &redis).await, Node::start("b", &redis).await, Node::start("c", &redis).await];
    let names: Vec<UserId> = (0..60).map(|n| user(&format!("user {n}"))).collect();
    let everybody = user("everybody");
    for (index, node) in nodes.iter().enumerate() {
        let own: Vec<&UserId> = names.iter().skip(index).step_by(3).chain([&everybody]).collect();
        node.join(&own).await;
    }
    names.iter().for_each(|name| nodes[0].bus.publish(sent(name, 1, "hello")));
    // Comes last to each.
    nodes[0].bus.publish(sent(&everybody, 1, "the end"));
    for node in &nodes[1..] {
        node.hears(&everybody).await;
        assert_eq!(node.bus.stats().decoded, 20 + 1);
    }
    assert_eq!(nodes[0].bus.stats().decoded, 0);
}

#[tokio::test]
async fn after_a_crash_of_redis_every_channel_is_subscribed_again_and_a_gap_is_told() {
    let mut redis = Redis::start().await;
    let (a, b) = (Node::start("a", &redis).await, Node::start("b", &redis).await);
    let names: Vec<UserId> = (0..1_300).map(|n| user(&format!("user {n}"))).collect();
    let all: Vec<&UserId> = names.iter().collect();
    b.join(&all[..1_200]).await;

    redis.kill();
    a.is(Link::Down).await;
    b.is(Link::Down).await;
    b.gap().await;
    // Lost to the others, heard here.
    a.bus.publish(sent(&names[0], 1, "while away"));
    assert_eq!(a.hears(&names[0]).await.rev, 1);
    assert_eq!(a.bus.stats().dropped, 1);
    // Who comes meanwhile is subscribed with the others.
    all[1_200..].iter().for_each(|name| b.bus.join(name));
    assert!(a.bus.ask(&names[0], Question::WhoIsOnline).await.is_empty());

    redis.start_again().await;
    a.is(Link::Up).await;
    b.is(Link::Up).await;
    b.gap().await;
    assert_eq!(b.bus.stats().connected, 2);
    for name in &names {
        assert_eq!(redis.subscribers(&format!("tidings:u:{name}")).await, 1, "{name}");
    }
    a.bus.publish(sent(&names[1_250], 2, "and again"));
    assert_eq!(b.hears(&names[1_250]).await.rev, 2);
}

#[tokio::test]
async fn a_redis_that_hangs_is_noticed() {
    let redis = Redis::start().await;
    let (a, b) = (Node::start("a", &redis).await, Node::start("b", &redis).await);
    let ana = user("ana");
    b.join(&[&ana]).await;
    redis.hang();
    a.is(Link::Down).await;
    b.is(Link::Down).await;
    redis.go_on();
    a.is(Link::Up).await;
    b.is(Link::Up).await;
    a.bus.publish(sent(&ana, 1, "hello"));
    b.hears(&ana).await;
}

#[tokio::test]
async fn a_redis_that_comes_later_is_found() {
    let mut redis = Redis::start().await;
    redis.kill();
    let node = Node::start_with("a", redis.url(), Options::default(), &epoch());
    let ana = user("ana");
    node.bus.join(&ana);
    assert_eq!(node.bus.link(), Link::Down);
    redis.start_again().await;
    node.is(Link::Up).await;
    node.gap().await;
    assert_eq!(redis.subscribers("tidings:u:ana").await, 1);
}

#[tokio::test]
async fn who_could_not_tell_its_news_says_so_to_those_who_missed_nothing_else() {
    let redis = Redis::start().await;
    let a = Node::start("a", &redis).await;
    let clients: String = redis.ask(&["CLIENT", "LIST"]).await;
    let of_a = clients.lines().find(|client| client.contains("resp=3") || client.contains("sub=2")).unwrap();
    let id = of_a.split([' ', '=']).nth(1).unwrap().to_owned();
    let b = Node::start("b", &redis).await;
    // B's own beginning.
    b.gap().await;
    redis.run(&["CLIENT", "KILL", "ID", &id]).await.unwrap();
    until("A to have come back", async || a.bus.stats().connected == 2).await;
    b.gap().await;
    assert_eq!(b.bus.stats().connected, 1);
}

#[tokio::test]
async fn what_is_too_much_is_dropped_counted_and_told() {
    let redis = Redis::start().await;
    let options = Options { queue: 4, ..Options::default() };
    let a = Node::start_with("a", redis.url(), options, &epoch());
    a.is(Link::Up).await;
    let b = Node::start("b", &redis).await;
    let ana = user("ana");
    b.join(&[&ana]).await;
    b.heard_by_now().await;
    // One thread: nothing is taken from the queue before this one waits.
    (1..=10).for_each(|rev| a.bus.publish(sent(&ana, rev, "hello")));
    assert_eq!(a.bus.stats().dropped, 6);
    let mut heard = Vec::new();
    b.next("four of them, and that there were more", |event| {
        match event {
            Event::Heard(change) => heard.push(change.rev),
            Event::Gap => heard.push(0),
            _ => {}
        }
        (heard.len() == 5).then_some(())
    })
    .await;
    heard.sort_unstable();
    assert_eq!(heard, [0, 1, 2, 3, 4]);
    assert_eq!(a.heard_by_now().await, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_left_stays_subscribed_for_a_while_and_is_not_decoded() {
    let redis = Redis::start().await;
    let options = Options { grace: Duration::from_secs(3600), ..Options::default() };
    let a = Node::start("a", &redis).await;
    let b = Node::start_with("b", redis.url(), options, &epoch());
    b.is(Link::Up).await;
    let (ana, bo) = (user("ana"), user("bo"));
    b.join(&[&ana, &bo]).await;
    b.bus.leave(&ana);
    a.bus.publish(sent(&ana, 1, "to nobody"));
    a.bus.publish(sent(&bo, 1, "to bo"));
    b.hears(&bo).await;
    let counts = b.bus.stats();
    assert_eq!((counts.unheld, counts.decoded), (1, 1));
    // Back without a word to Redis.
    b.bus.join(&ana);
    a.bus.publish(sent(&ana, 2, "to ana"));
    assert_eq!(b.hears(&ana).await.rev, 2);
}

#[tokio::test]
async fn who_stays_away_is_unsubscribed() {
    let redis = Redis::start().await;
    let options = Options { grace: Duration::ZERO, ..Options::default() };
    let node = Node::start_with("a", redis.url(), options, &epoch());
    node.is(Link::Up).await;
    let ana = user("ana");
    for _ in 0..3 {
        node.join(&[&ana]).await;
        assert_eq!(redis.subscribers("tidings:u:ana").await, 1);
        node.bus.leave(&ana);
        until("ana to be given up", async || redis.subscribers("tidings:u:ana").await == 0).await;
    }
    assert_eq!(node.bus.stats().connected, 1, "giving up is no broken connection");
}

#[tokio::test]
async fn questions_are_answered_by_those_who_hold_the_user() {
    let redis = Redis::start().await;
    let (a, b, c) =
        (Node::start("a", &redis).await, Node::start("b", &redis).await, Node::start("c", &redis).await);
    let (ana, bo) = (user("ana"), user("bo"));
    a.join(&[&ana]).await;
    b.join(&[&ana]).await;
    c.join(&[&ana, &bo]).await;
    let mut online: Vec<String> = Vec::new();
    for answer in a.bus.ask(&ana, Question::WhoIsOnline).await {
        let Answer::Online(devices) = answer else { panic!("{answer:?}") };
        online.extend(devices.iter().map(|online| format!("{} by {}", online.device, online.transport)));
    }
    online.sort();
    assert_eq!(online, ["b by sse", "c by sse"]);
    assert_eq!(a.bus.ask(&bo, Question::EndSessions).await, [Answer::Ended(2)]);
    assert!(a.bus.ask(&user("nobody"), Question::WhoIsOnline).await.is_empty());
    assert_eq!(a.bus.stats().unanswered, 0, "it waited for more answers than there are nodes");
    let asked = |event| match event {
        Event::Asked(user) => Some(user),
        _ => None,
    };
    assert_eq!(c.next("ana's", asked).await, ana);
    assert_eq!(c.next("bo's", asked).await, bo);
    assert_eq!(b.next("ana's", asked).await, ana);
}

#[tokio::test]
async fn nodes_of_another_store_are_ignored() {
    let redis = Redis::start().await;
    let other = Epoch::new("e2").unwrap();
    let a = Node::start_with("a", redis.url(), Options::default(), &other);
    a.is(Link::Up).await;
    let b = Node::start("b", &redis).await;
    let c = Node::start("c", &redis).await;
    let ana = user("ana");
    b.join(&[&ana]).await;
    a.bus.publish(sent(&ana, 1, "of another store"));
    assert!(a.bus.ask(&ana, Question::EndSessions).await.is_empty());
    c.bus.publish(sent(&ana, 2, "of this one"));
    assert_eq!(b.hears(&ana).await.rev, 2);
    assert!(b.bus.stats().foreign >= 2);
}

#[tokio::test]
async fn nothing_that_lies_in_a_channel_does_harm() {
    let redis = Redis::start().await;
    let (a, b) = (Node::start("a", &redis).await, Node::start("b", &redis).await);
    let ana = user("ana");
    b.join(&[&ana]).await;
    let head = |kind: u8| [&[7_u8; 16][..], &[kind], &[0; 8]].concat();
    let news = |body: &str| [&head(b'n')[..], body.as_bytes()].concat();
    let deep = "[".repeat(100_000);
    let sent = |id: &str, seq: &str, content: &str| {
        format!(
            r#"{{"epoch":"e1","rev":5,"change":{{"counts":[1,1,1],"what":{{"Sent":{{"id":"{id}","seq":{seq},"content":{content},"timestamp":0}}}}}}}}"#
        )
    };
    let content = |message: &str, data: &str| {
        format!(
            r#"{{"title":"","message":"{message}","data":{data},"category":null,"priority":"normal","url":null,"avatar":null,"actions":[]}}"#
        )
    };
    let id = "0198c0de-0000-7000-8000-000000000001";
    let unreadable: Vec<Vec<u8>> = vec![
        vec![],
        vec![0xff; 24],
        vec![b'x'; 600 * 1024],
        head(b'x'),
        head(b'n'),
        head(b'?'),
        head(b'!'),
        head(b'g'),
        news(&deep),
        news(r#"{"epoch":"e1","rev":-1}"#),
        news(r#"{"epoch":"e1","rev":99999999999999999999999}"#),
        news(r#"{"epoch":7,"rev":1}"#),
        [&head(b'?')[..], br#"{"epoch":"e1","question":"Everything"}"#].concat(),
    ];
    // The number can be read, the change is none: only the number counts.
    let half: Vec<Vec<u8>> = vec![
        news(&sent("nonsense", "5", &content("x", "{}"))),
        news(&sent(id, "6", &content("x", "{}"))),
        news(&sent(id, "5", &content("", "{}"))),
        news(&sent(id, "5", &content(&"x".repeat(5_000), "{}"))),
        news(&sent(id, "5", &content("x", "[]"))),
        news(
            r#"{"epoch":"e1","rev":5,"change":{"counts":[1,1,1],"what":{"Marked":{"op":"read","ids":[]}}}}"#,
        ),
        news(
            r#"{"epoch":"e1","rev":5,"change":{"counts":[1,1,1],"what":{"Marked":{"op":"burn","up_to":1}}}}"#,
        ),
        news(r#"{"epoch":"e1","rev":5,"change":"later versions may say more"}"#),
    ];
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", redis.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for payload in unreadable.iter().chain(&half) {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg("tidings:u:ana").arg(payload);
        assert_eq!(publish.query_async::<i64>(&mut connection).await.unwrap(), 1);
        let mut publish = redis::cmd("PUBLISH");
        publish.arg("tidings:all").arg(payload).query_async::<i64>(&mut connection).await.unwrap();
    }
    a.bus.publish(self::sent(&ana, 9, "the truth"));
    let (mut raised, mut heard) = (0, Vec::new());
    b.next("the truth", |event| {
        match event {
            Event::Raised(_, 5) => raised += 1,
            Event::Heard(change) => heard.push(change.rev),
            _ => {}
        }
        (heard.last() == Some(&9)).then_some(())
    })
    .await;
    assert_eq!(heard, [9]);
    assert_eq!(raised, half.len());
    assert!(b.bus.stats().refused >= 2 * unreadable.len() as u64, "{:?}", b.bus.stats());
}

#[tokio::test]
async fn on_a_cluster_channels_are_sharded() {
    let mut cluster = Redis::start_cluster(3).await;
    // Any node knows the others; one that is away does not matter.
    let seeds: RedisUrl = format!("redis://127.0.0.1:1,127.0.0.1:{}", cluster[1].port).parse().unwrap();
    let options = Options { answers_within: DEADLINE, ..Options::default() };
    let a = Node::start_with("a", seeds, options, &epoch());
    a.is(Link::Up).await;
    let b = Node::start("b", &cluster[0]).await;
    let names: Vec<UserId> = (0..60).map(|n| user(&format!("user {n}"))).collect();
    let all: Vec<&UserId> = names.iter().collect();
    b.join(&all).await;
    for name in &names {
        a.bus.publish(sent(name, 1, "hello"));
        b.hears(name).await;
    }
    let mut spread = Vec::new();
    for node in &cluster {
        let channels: Vec<String> = node.ask(&["PUBSUB", "SHARDCHANNELS", "tidings:u:*"]).await;
        spread.push(channels.len());
    }
    assert_eq!(spread.iter().sum::<usize>(), names.len());
    assert!(spread.iter().all(|count| *count > 0), "{spread:?}");
    assert_eq!(b.bus.stats().decoded, names.len() as u64);
    assert_eq!(a.bus.ask(&names[7], Question::EndSessions).await, [Answer::Ended(2)]);

    // One node of Redis crashes and returns.
    cluster[2].kill();
    a.is(Link::Down).await;
    b.is(Link::Down).await;
    cluster[2].start_again().await;
    a.is(Link::Up).await;
    b.is(Link::Up).await;
    b.gap().await;
    for name in &names {
        a.bus.publish(sent(name, 2, "again"));
        assert_eq!(b.hears(name).await.rev, 2);
    }
}

#[tokio::test]
async fn channels_that_move_within_a_cluster_are_followed() {
    let cluster = Redis::start_cluster(2).await;
    let (a, b) = (Node::start("a", &cluster[0]).await, Node::start("b", &cluster[0]).await);
    let ana = user("ana");
    b.join(&[&ana]).await;
    let slot: u64 = cluster[0].ask(&["CLUSTER", "KEYSLOT", "tidings:u:ana"]).await;
    let slot = slot.to_string();
    let (from, to) = if cluster[0].subscribers("tidings:u:ana").await == 1 {
        (&cluster[0], &cluster[1])
    } else {
        (&cluster[1], &cluster[0])
    };
    let target: String = to.ask(&["CLUSTER", "MYID"]).await;
    for node in [to, from] {
        node.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await.unwrap();
    }
    until("B to have followed", async || to.subscribers("tidings:u:ana").await == 1).await;
    b.is(Link::Up).await;
    a.is(Link::Up).await;
    // A learns of it when it is refused, at the latest; then it says that it lost something.
    let mut rev = 1;
    until("news to cross", async || {
        a.bus.publish(sent(&ana, rev, "hello"));
        rev += 1;
        b.heard_by_now().await.last().is_some()
    })
    .await;
}

/// Panics when it hears of a gap for the first time.
#[derive(Default)]
struct Faulty {
    gaps: std::sync::atomic::AtomicU32,
}

impl Listener for Faulty {
    fn heard(&self, _: &Arc<Change>) {}
    fn raised(&self, _: &UserId, _: Revision) {}
    fn joined(&self, _: &[UserId]) {}
    fn gap(&self) {
        assert!(self.gaps.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0, "the first gap");
    }
    fn asked(&self, _: &UserId, _: Question) -> Answer {
        Answer::Ended(0)
    }
}

#[tokio::test]
async fn a_panic_ends_one_connection_and_not_the_bus() {
    let redis = Redis::start().await;
    let faulty = Arc::new(Faulty::default());
    let bus = RedisBus::new(redis.url(), Options::default());
    let listening: Weak<dyn Listener> = Arc::downgrade(&(faulty.clone() as Arc<dyn Listener>));
    bus.listen(&epoch(), listening);
    // The one that panics, the one after the broken connection, and the one of the next connection.
    let gaps = || faulty.gaps.load(std::sync::atomic::Ordering::SeqCst);
    until("the next connection", async || gaps() >= 3 && bus.link() == Link::Up).await;
    assert_eq!(bus.stats().connected, 2);
}
