//! Several nodes at one database, and a database that breaks.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/cutter.rs"]
mod cutter;

use common::{Server, unused, uri};
use cutter::{Cut, Cutter};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidings_domain::{
    Change, Entry, Mark, MarkOp, MarkTarget, NotificationId, Revision, SystemClock, UserId,
};
use tidings_store::conformance::{Fixture, ManualClock, Recorder};
use tidings_store::{Appended, ChangesQuery, Idempotency, Silent, Store, StoreError};
use tidings_store_mongo::{MongoStore, OpenError, Options};

/// Less patient than a server has to be.
fn options() -> Options {
    Options { patience: Duration::from_secs(5), lease: Duration::from_millis(600), ..Options::default() }
}

/// A node at a database, with the clock and the observer in hand.
async fn node(uri: &str) -> Arc<Fixture> {
    node_with(uri, options()).await
}

async fn node_with(uri: &str, options: Options) -> Arc<Fixture> {
    let (clock, news) = (Arc::new(ManualClock::start()), Arc::new(Recorder::default()));
    let store = MongoStore::open(uri, options, clock.clone(), news.clone()).await.unwrap();
    Arc::new(Fixture::of(Arc::new(store), clock, news))
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn key(text: String) -> Idempotency {
    Idempotency { key: text, fingerprint: [7; 32], note: Vec::new() }
}

/// An id that no other node makes: fixtures count for themselves.
fn new_id(node: usize, count: usize) -> NotificationId {
    let mut bytes = *Fixture::new_id_at(ManualClock::START, count as u64).as_bytes();
    bytes[8] |= node as u8;
    NotificationId::from_bytes(bytes)
}

/// A device that reads the log and keeps a picture of the inbox.
struct Device {
    cursor: Revision,
    picture: BTreeMap<NotificationId, (Revision, bool)>,
}

impl Device {
    async fn read(&mut self, store: &dyn Store, whose: &UserId) {
        loop {
            let page = store.changes(whose, ChangesQuery::new(self.cursor, 5)).await.unwrap();
            let mut last = self.cursor;
            for entry in &page.entries {
                assert!(entry.rev() > self.cursor && entry.rev() >= last && entry.rev() <= page.head);
                last = entry.rev();
                let is_live = matches!(entry, Entry::Live(_));
                if let Some((before, _)) = self.picture.insert(entry.id(), (entry.rev(), is_live)) {
                    assert!(before < entry.rev(), "nothing comes twice");
                }
            }
            assert!(page.cursor >= self.cursor);
            self.cursor = page.cursor;
            if !page.has_more {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_number_one_inbox_without_holes() {
    let uri = uri(&unused("n"));
    let nodes = [node(&uri).await, node(&uri).await, node(&uri).await];
    let ana = user("ana");
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (it, done, ana) = (node(&uri).await, done.clone(), ana.clone());
        tokio::spawn(async move {
            let mut device = Device { cursor: 0, picture: BTreeMap::new() };
            let mut is_last = false;
            while !is_last {
                is_last = done.load(Ordering::SeqCst);
                device.read(&*it.store, &ana).await;
            }
            device
        })
    };
    let mut writers = Vec::new();
    for (number, it) in nodes.iter().enumerate() {
        for writer in 0..5 {
            let it = it.clone();
            writers.push(tokio::spawn(async move {
                for step in 0..12 {
                    let id = |more: usize| new_id(number, writer * 1_000 + step * 10 + more);
                    let outgoing = |more| {
                        let mut outgoing = it.outgoing("ana", "m");
                        outgoing.id = id(more);
                        outgoing
                    };
                    match (writer + step) % 6 {
                        0 => drop(it.store.append(vec![outgoing(0), outgoing(1)], None).await.unwrap()),
                        1 => {
                            let mark =
                                Mark { op: MarkOp::Read, target: MarkTarget::UpTo(u64::MAX), category: None };
                            it.store.mark(&user("ana"), mark).await.unwrap();
                        }
                        2 => {
                            let first = it.store.append(vec![outgoing(0)], None).await.unwrap();
                            let Appended::Stored(receipts) = first else { panic!("{first:?}") };
                            assert!(it.store.recall(receipts[0].id).await.unwrap());
                        }
                        _ => drop(it.store.append(vec![outgoing(0)], None).await.unwrap()),
                    }
                }
            }));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let device = reader.await.unwrap();

    let it = &nodes[0];
    it.audit("ana").await;
    let head = it.head("ana").await;
    assert_eq!(device.cursor, head);
    let mut revs: Vec<Revision> =
        nodes.iter().flat_map(|node| node.news.take()).map(|change: Change| change.rev).collect();
    revs.sort_unstable();
    assert_eq!(revs, (1..=head).collect::<Vec<_>>(), "every number once, whichever node took it");
    let listed: HashSet<_> = it.everything("ana").await.into_iter().map(|one| one.id).collect();
    let seen: HashSet<_> = device.picture.iter().filter(|(_, (_, live))| *live).map(|(id, _)| *id).collect();
    assert_eq!(seen, listed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_used_on_several_nodes_stores_once() {
    let uri = uri(&unused("n"));
    let nodes = [node(&uri).await, node(&uri).await, node(&uri).await];
    let mut callers = Vec::new();
    for caller in 0..18 {
        let it = nodes[caller % 3].clone();
        callers.push(tokio::spawn(async move {
            let mut outgoing = it.outgoing("ana", "once");
            outgoing.id = new_id(caller % 3, caller);
            it.store.append(vec![outgoing], Some(key("k".to_owned()))).await.unwrap()
        }));
    }
    let mut stored = 0;
    let mut receipts = HashSet::new();
    for caller in callers {
        match caller.await.unwrap() {
            Appended::Stored(given) => {
                stored += 1;
                receipts.insert(given[0].id);
            }
            Appended::Replayed { receipts: given, .. } => drop(receipts.insert(given[0].id)),
        }
    }
    assert_eq!((stored, receipts.len()), (1, 1));
    assert_eq!(nodes[0].counts("ana").await.total, 1);
}

/// Sends and marks until told to stop; what was answered, and what was tried.
async fn keep_sending(it: Arc<Fixture>, writer: usize, rounds: usize) -> Vec<NotificationId> {
    let mut answered = Vec::new();
    for round in 0..rounds {
        let mut outgoing = it.outgoing("ana", "m");
        outgoing.id = new_id(writer, round);
        let name = format!("{writer}-{round}");
        let id = outgoing.id;
        // A sender with a key may try again; one without must not.
        let with_key = round % 3 == 0;
        for attempt in 0.. {
            let idempotency = with_key.then(|| key(name.clone()));
            let mut all = vec![outgoing.clone()];
            if round % 4 == 1 {
                // More than one is a transaction, and without a key only its own traces say whether it was done.
                let mut second = it.outgoing("bo", "m");
                second.id = new_id(writer, 1_000 + round);
                all.push(second);
            }
            match it.store.append(all, idempotency).await {
                Ok(Appended::Stored(receipts) | Appended::Replayed { receipts, .. }) => {
                    assert_eq!(receipts[0].id, id);
                    answered.push(id);
                    break;
                }
                Err(StoreError::Unavailable(_)) if with_key && attempt < 20 => {}
                Err(StoreError::Unavailable(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        if round % 5 == 4 {
            let mark = Mark { op: MarkOp::Read, target: MarkTarget::UpTo(u64::MAX), category: None };
            let _ = it.store.mark(&user("ana"), mark).await;
        }
    }
    answered
}

/// Everything that was answered is there, nothing twice, and the numbers are right.
async fn check(it: &Fixture, answered: Vec<Vec<NotificationId>>) {
    it.audit("ana").await;
    let head = it.head("ana").await;
    let mut listed: HashMap<NotificationId, usize> = HashMap::new();
    for notification in it.everything("ana").await {
        *listed.entry(notification.id).or_default() += 1;
        assert!(notification.rev <= head);
    }
    assert!(listed.values().all(|count| *count == 1), "nothing twice");
    for id in answered.into_iter().flatten() {
        assert!(listed.contains_key(&id), "{id} was answered and is gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_lose_nothing_and_double_nothing() {
    let server = Server::start(&[]);
    let name = unused("n");
    let cut = Cut::Every(23);
    let cutter = Cutter::start(server.port, cut).await;
    let it = node(&cutter.uri(&name)).await;
    cutter.arm(cut);
    let writers: Vec<_> = (0..4).map(|writer| tokio::spawn(keep_sending(it.clone(), writer, 30))).collect();
    let mut answered = Vec::new();
    for writer in writers {
        answered.push(writer.await.unwrap());
    }
    assert_eq!(answered.iter().map(Vec::len).sum::<usize>(), 4 * 30, "each was tried until it went");
    check(&*node(&server.uri(&name)).await, answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_and_returns_has_what_it_answered() {
    let mut server = Server::start(&[]);
    let uri = server.uri(&unused("n"));
    let it = node(&uri).await;
    let writers: Vec<_> = (0..4).map(|writer| tokio::spawn(keep_sending(it.clone(), writer, 40))).collect();
    for _ in 0..2 {
        // Some way into it, wherever that is.
        let before = it.head("ana").await;
        while it.head("ana").await < before + 15 && writers.iter().any(|writer| !writer.is_finished()) {
            tokio::task::yield_now().await;
        }
        server.kill();
        server.restart();
    }
    let mut answered = Vec::new();
    for writer in writers {
        answered.push(writer.await.unwrap());
    }
    check(&*node(&uri).await, answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_makes_calls_fail_in_time() {
    let server = Server::start(&[]);
    let uri = server.uri(&unused("n"));
    let it = node(&uri).await;
    it.send("ana", "before").await;
    server.signal("STOP");
    let call =
        tokio::time::timeout(Duration::from_secs(40), it.store.append(vec![it.outgoing("ana", "m")], None));
    let answer = call.await.expect("no call waits without bound");
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(it.store.ready().await.is_err());
    server.signal("CONT");
    while it.store.ready().await.is_err() {
        tokio::task::yield_now().await;
    }
    it.send("ana", "after").await;
    it.audit("ana").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_single_server_what_was_begun_is_finished_by_the_next_start() {
    let server = Server::start(&["--standalone"]);
    let hasty = Options { patience: Duration::from_millis(500), ..options() };
    for step in 0..16 {
        let name = unused(&format!("s{step}"));
        let cut = Cut::After(step);
        let cutter = Cutter::start(server.port, cut).await;
        let it = node_with(&cutter.uri(&name), hasty).await;
        it.send_many("ana", 3).await;
        it.send("bo", "m").await;
        // The node dies in the middle of it, after one message more each time.
        cutter.arm(cut);
        let to_two = vec![it.outgoing("ana", "both"), it.outgoing("bo", "both")];
        let store = it.store.clone();
        let writing = tokio::spawn(async move {
            let first = store.append(to_two, Some(key("k".to_owned()))).await;
            let mark = Mark { op: MarkOp::Read, target: MarkTarget::UpTo(u64::MAX), category: None };
            (first, store.mark(&user("ana"), mark).await)
        });
        let (sent, marked) = writing.await.unwrap();
        drop(it);

        let again = node(&server.uri(&name)).await;
        again.audit("ana").await;
        again.audit("bo").await;
        let (ana, bo) = (again.counts("ana").await, again.counts("bo").await);
        assert!(matches!((ana.total, bo.total), (3, 1) | (4, 2)), "both or none: {ana:?} {bo:?}");
        if sent.is_ok() {
            assert_eq!(bo.total, 2);
        }
        if marked.is_ok() {
            assert_eq!(ana.unread, 0);
        }
        assert!(ana.unread == 0 || ana.unread == ana.total, "a mark is whole: {ana:?}");
        let retried = vec![again.outgoing("ana", "both"), again.outgoing("bo", "both")];
        let retried = retried.into_iter().zip([100, 101]).map(|(mut one, n)| {
            one.id = new_id(9, n);
            one
        });
        again.store.append(retried.collect(), Some(key("k".to_owned()))).await.unwrap();
        assert_eq!(
            (again.counts("ana").await.total, again.counts("bo").await.total),
            (4, 2),
            "once, whatever came"
        );
        again.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_single_server_there_is_one_node() {
    let server = Server::start(&["--standalone"]);
    let uri = server.uri(&unused("s"));
    let open = |options| MongoStore::open(&uri, options, Arc::new(SystemClock), Arc::new(Silent));
    let refused = open(Options { is_cluster: true, ..options() }).await.err().unwrap();
    assert!(matches!(refused, OpenError::NotForSeveral { .. }), "{refused}");
    let first = open(options()).await.unwrap();
    let refused = open(options()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Occupied { .. }), "{refused}");
    first.ready().await.unwrap();
    first.close().await;
    let second = open(options()).await.unwrap();
    assert_eq!(second.epoch(), first.epoch());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_is_one_sentence_without_the_password() {
    let open = |uri: &'static str| {
        MongoStore::open(uri, Options::default(), Arc::new(SystemClock), Arc::new(Silent))
    };
    for uri in
        ["mongodb://ana:hunter2@127.0.0.1:1/x?serverSelectionTimeoutMS=200", "mongodb://ana:hunter2@h:port/x"]
    {
        let refused = open(uri).await.err().unwrap().to_string();
        assert!(!refused.contains("hunter2") && !refused.contains('\n'), "{refused}");
    }
}
