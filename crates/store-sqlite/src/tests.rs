//! What cannot be seen from outside: failures in the middle of a group, a disk that is full, one that does not answer.

use crate::failure::Failure;
use crate::transaction::Tx;
use crate::writer::Operation;
use crate::{Options, SqliteStore};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tidings_domain::{Change, Content, DeviceId, Mark, MarkOp, MarkTarget, UserId};
use tidings_store::conformance::{Fixture, ManualClock, Recorder};
use tidings_store::{
    Appended, ChangesQuery, Idempotency, InboxQuery, Observer, Outgoing, Registration, Store, StoreError,
    Sweep,
};

/// A store, and what makes ids and notifications for it.
struct Bench {
    it: Fixture,
    store: Arc<SqliteStore>,
    _dir: TempDir,
}

fn open_in(dir: &Path, options: Options) -> Bench {
    let (clock, news) = (Arc::new(ManualClock::start()), Arc::new(Recorder::default()));
    let store = Arc::new(SqliteStore::open(dir, options, clock.clone(), news.clone()).unwrap());
    Bench { it: Fixture::of(store.clone(), clock, news), store, _dir: TempDir::new().unwrap() }
}

fn open(options: Options) -> Bench {
    let dir = TempDir::new().unwrap();
    let bench = open_in(dir.path(), options);
    Bench { _dir: dir, ..bench }
}

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

fn is_damaged<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Damaged(_)))
}

/// A statement on the writer's connection.
struct Run(String);

impl Operation for Run {
    type Answer = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        Ok(tx.conn.execute_batch(&self.0)?)
    }
}

/// A number from the writer's connection.
struct Ask(&'static str);

impl Operation for Ask {
    type Answer = i64;

    fn run(&self, tx: &mut Tx<'_>) -> Result<i64, Failure> {
        Ok(tx.conn.query_row(self.0, [], |row| row.get(0))?)
    }
}

/// Holds the writer up until it is released, as a disk does that does not answer. Says when it has begun.
struct Stall {
    begun: Sender<()>,
    release: Mutex<Receiver<()>>,
}

impl Stall {
    fn new() -> (Self, Receiver<()>, Sender<()>) {
        let ((begun, has_begun), (go, release)) = (channel(), channel());
        (Self { begun, release: Mutex::new(release) }, has_begun, go)
    }
}

impl Operation for Stall {
    type Answer = ();

    fn run(&self, _: &mut Tx<'_>) -> Result<(), Failure> {
        let _ = self.begun.send(());
        let _ = self.release.lock().unwrap().recv();
        Ok(())
    }
}

/// Writes to an inbox, and then fails as SQLite does.
struct Broken(UserId);

impl Operation for Broken {
    type Answer = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let mut inbox = tx.find_or_create(&self.0)?;
        inbox.advance();
        inbox.counted.total += 100;
        tx.save(inbox);
        tx.flush()?;
        tx.conn.execute_batch("INSERT INTO no_such_table VALUES (1)")?;
        Ok(())
    }
}

/// Writes to an inbox, and then panics as a fault of ours would.
struct Faulty(UserId);

impl Operation for Faulty {
    type Answer = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let mut inbox = tx.find_or_create(&self.0)?;
        inbox.advance();
        inbox.counted.total += 100;
        tx.save(inbox);
        tx.flush()?;
        panic!("a fault of ours");
    }
}

#[tokio::test]
async fn a_write_that_panics_fails_alone_and_the_writer_goes_on() {
    let Bench { it, store, _dir } = open(Options::default());
    let ana = UserId::new("ana").unwrap();
    let (stall, begun, release) = Stall::new();
    let mut stalled = Box::pin(store.writer.submit(stall));
    while begun.try_recv().is_err() {
        tokio::select! { biased; _ = &mut stalled => panic!("not released"), () = tokio::task::yield_now() => {} }
    }
    let (first, second) = (vec![it.outgoing("ana", "a")], vec![it.outgoing("ana", "b")]);
    let (_, first, panicked, second, ()) = tokio::join!(
        stalled,
        store.append(first, None),
        store.writer.submit(Faulty(ana.clone())),
        store.append(second, None),
        async { release.send(()).unwrap() },
    );
    assert!(is_unavailable(&panicked));
    assert!(first.is_ok() && second.is_ok());
    assert!(is_unavailable(&store.writer.submit(Faulty(ana)).await));
    it.send("ana", "c").await;
    store.ready().await.unwrap();
    assert_eq!(it.counts("ana").await.total, 3);
    it.audit("ana").await;
}

fn heavy(it: &Fixture, to: &str) -> Outgoing {
    let data = format!(r#"{{"a":"{}"}}"#, "x".repeat(15_000));
    let content = Content { data: serde_json::from_str(&data).unwrap(), ..Content::text("m") };
    Outgoing { content: Arc::new(content), ..it.outgoing(to, "") }
}

#[tokio::test]
async fn a_full_disk_fails_writes_only_and_heals_by_itself() {
    let Bench { it, store, _dir } = open(Options::default());
    it.send("ana", "before").await;
    let pages = store.writer.submit(Ask("PRAGMA page_count")).await.unwrap();
    store.writer.submit(Run(format!("PRAGMA max_page_count = {}", pages + 20))).await.unwrap();
    let mut stored = 1;
    let refused = loop {
        match store.append(vec![heavy(&it, "ana")], None).await {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, StoreError::Unavailable("the disk is full".to_owned()));
    it.heard();
    for _ in 0..3 {
        assert!(is_unavailable(&store.append(vec![it.outgoing("bo", "m"), heavy(&it, "ana")], None).await));
        assert!(is_unavailable(&store.ready().await));
    }
    // Reads go on, and nothing of what failed is there.
    assert_eq!((it.head("ana").await, it.head("bo").await), (stored, 0));
    assert_eq!(it.listed("ana").await.len() as u64, stored);
    assert!(it.heard().is_empty());
    it.audit("ana").await;

    store.writer.submit(Run(format!("PRAGMA max_page_count = {}", pages + 2_000))).await.unwrap();
    store.ready().await.unwrap();
    assert_eq!(it.put(heavy(&it, "ana")).await.seq, stored + 1);
    assert_eq!(it.send("bo", "m").await.seq, 1);
    it.audit("ana").await;
}

#[tokio::test]
async fn readiness_comes_back_without_a_send() {
    let Bench { it, store, _dir } = open(Options::default());
    it.send("ana", "m").await;
    let pages = store.writer.submit(Ask("PRAGMA page_count")).await.unwrap();
    store.writer.submit(Run(format!("PRAGMA max_page_count = {pages}"))).await.unwrap();
    assert!(is_unavailable(&store.append((0..10).map(|_| heavy(&it, "ana")).collect(), None).await));
    assert!(is_unavailable(&store.ready().await));
    // This clears the mark by itself, so the disk must be full again when readiness is asked for.
    store.writer.submit(Run(format!("PRAGMA max_page_count = {}", pages + 100))).await.unwrap();
    store.ready().await.unwrap();
}

#[tokio::test]
async fn a_stalled_disk_keeps_nobody_waiting_and_loses_nothing() {
    let options = Options { queue_bytes: 4 << 10, ..Options::default() };
    let Bench { it, store, _dir } = open(options);
    it.send("ana", "before").await;
    let (stall, begun, release) = Stall::new();
    let stalled = tokio::spawn({
        let store = store.clone();
        async move { store.writer.submit(stall).await }
    });
    while begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    // Four places; those behind them do not even get one.
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (store, outgoing) = (store.clone(), it.outgoing("ana", "meanwhile"));
            tokio::spawn(async move { store.append(vec![outgoing], None).await })
        })
        .collect();
    for call in calls {
        assert!(is_unavailable(&call.await.unwrap()));
    }
    assert!(is_unavailable(&stalled.await.unwrap()));
    assert!(is_unavailable(&store.ready().await));
    // Reads go on.
    assert_eq!(it.head("ana").await, 1);
    tokio::time::resume();
    release.send(()).unwrap();
    // Nobody waited for those any more when their turn came.
    store.writer.submit(Ask("SELECT 1")).await.unwrap();
    store.ready().await.unwrap();
    assert_eq!(it.send("ana", "after").await.seq, 2);
    it.audit("ana").await;
}

#[tokio::test]
async fn of_a_group_only_the_broken_one_fails() {
    let Bench { it, store, _dir } = open(Options::default());
    let commits = store.stats().commits;
    let (stall, begun, release) = Stall::new();
    let mut stalled = Box::pin(store.writer.submit(stall));
    while begun.try_recv().is_err() {
        tokio::select! { biased; _ = &mut stalled => panic!("not released"), () = tokio::task::yield_now() => {} }
    }
    let ana = UserId::new("ana").unwrap();
    let (first, second) =
        (vec![it.outgoing("ana", "a")], vec![it.outgoing("ana", "b"), it.outgoing("bo", "b")]);
    let (_, first, broken, second, ()) = tokio::join!(
        stalled,
        store.append(first, None),
        store.writer.submit(Broken(ana)),
        store.append(second, None),
        async { release.send(()).unwrap() },
    );
    assert!(is_unavailable(&broken));
    let seqs = |appended| match appended {
        Ok(Appended::Stored(receipts)) => receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!((seqs(first), seqs(second)), (vec![1], vec![2, 1]));
    assert_eq!(it.heard().len(), 3);
    assert_eq!(it.counts("ana").await.total, 2);
    it.audit("ana").await;
    // The one that held it up, and the two one by one.
    assert_eq!(store.stats().commits, commits + 3);
    store.ready().await.unwrap();
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let Bench { it, store, _dir } = open(Options::default());
    let (stall, begun, release) = Stall::new();
    let stalled = tokio::spawn({
        let store = store.clone();
        async move { store.writer.submit(stall).await }
    });
    while begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    let before = store.stats();
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let (store, outgoing) = (store.clone(), it.outgoing(&format!("user-{}", n % 7), "m"));
            tokio::spawn(async move { store.append(vec![outgoing], None).await.unwrap() })
        })
        .collect();
    // All have asked before the writer goes on.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    stalled.await.unwrap().unwrap();
    for call in calls {
        call.await.unwrap();
    }
    let after = store.stats();
    assert_eq!((after.commits - before.commits, after.operations - before.operations), (2, 201));
    assert_eq!(it.heard().len(), 200);
}

#[tokio::test]
async fn an_id_that_is_taken_stores_nothing_of_its_call() {
    let Bench { it, store, _dir } = open(Options::default());
    let taken = it.outgoing("ana", "first");
    it.put(taken.clone()).await;
    it.heard();
    let call = vec![it.outgoing("bo", "m"), it.outgoing("ana", "m"), taken];
    assert!(is_unavailable(&store.append(call, None).await));
    assert!(it.heard().is_empty());
    assert_eq!((it.head("ana").await, it.head("bo").await), (1, 0));
    assert_eq!(it.send("ana", "m").await.seq, 2);
    it.audit("ana").await;
}

#[tokio::test]
async fn damage_met_at_run_time_is_an_error() {
    let dir = TempDir::new().unwrap();
    {
        let Bench { it, store, _dir } = open_in(dir.path(), Options::default());
        it.append((0..500).map(|_| heavy(&it, "ana")).collect()).await;
        store.close().await;
    }
    let path = dir.path().join("tidings.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 10 * 3..bytes.len() / 10 * 7;
    bytes[middle].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    // Larger than what is checked at start.
    let options = Options { check_bytes: 0, ..Options::default() };
    let Bench { it, store, _dir } = open_in(dir.path(), options);
    let ana = UserId::new("ana").unwrap();
    let all = InboxQuery { limit: 1_000, bytes: usize::MAX, ..InboxQuery::default() };
    assert!(is_damaged(&store.inbox(&ana, all).await));
    let whole = ChangesQuery { bytes: usize::MAX, ..ChangesQuery::new(0, 1_000) };
    assert!(is_damaged(&store.changes(&ana, whole).await));
    let delete = Mark { op: MarkOp::Delete, target: MarkTarget::UpTo(u64::MAX), category: None };
    let _ = store.mark(&ana, delete).await;
    for _ in 0..3 {
        let _ = store.append(vec![heavy(&it, "ana")], None).await;
        let _ = store.sweep(Sweep { retention: Duration::ZERO, limit: 1_000 }).await;
    }
    store.close().await;
}

#[tokio::test]
async fn content_that_we_never_wrote_is_an_error() {
    let Bench { it, store, _dir } = open(Options::default());
    let id = it.send("ana", "m").await.id;
    store.writer.submit(Run("UPDATE body SET content = '{\"title\": 1}'".to_owned())).await.unwrap();
    assert!(is_damaged(&store.notification(id).await));
    store.writer.submit(Run("UPDATE inbox SET head = -1".to_owned())).await.unwrap();
    assert!(is_damaged(&store.locate(&UserId::new("ana").unwrap(), None).await));
}

#[tokio::test]
async fn a_device_has_a_bounded_number_of_connections() {
    // Of an inbox that has nothing, and of one that has something.
    for table in ["SELECT count(*) FROM visitor", "SELECT count(*) FROM registration"] {
        let Bench { it, store, _dir } = open(Options::default());
        if table.ends_with("registration") {
            it.send("ana", "m").await;
        }
        for n in 0..40 {
            it.register("ana", "phone", Some(&format!("pid-{n}")), 0).await;
            it.clock.advance(Duration::from_secs(1));
        }
        let kept = store.writer.submit(Ask(table)).await.unwrap();
        assert_eq!(kept, 16, "{table}");
        assert!(store.registration("pid-39").await.unwrap().is_some());
        assert!(store.registration("pid-0").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn nobody_starts_above_the_head() {
    let Bench { it, store, _dir } = open(Options::default());
    it.send("ana", "m").await;
    let (ana, phone) = (UserId::new("ana").unwrap(), DeviceId::new("phone").unwrap());
    let registration =
        Registration { device_id: phone.clone(), pid: None, start: u64::MAX, transport: "websocket" };
    store.register(&ana, registration).await.unwrap();
    assert_eq!(store.locate(&ana, Some(&phone)).await.unwrap().device, Some(1));
}

#[tokio::test]
async fn a_recalled_text_is_gone_from_the_file() {
    let Bench { it, store, _dir } = open(Options::default());
    let id = it.send("ana", "a secret").await.id;
    assert!(store.recall(id).await.unwrap());
    let left =
        store.writer.submit(Ask("SELECT count(*) FROM body WHERE content LIKE '%secret%'")).await.unwrap();
    assert_eq!(left, 0);
    it.audit("ana").await;
}

#[tokio::test]
async fn upkeep_leaves_nothing_behind() {
    let Bench { it, store, _dir } = open(Options::default());
    let idempotency = Idempotency { key: "k".to_owned(), fingerprint: [1; 32], note: Vec::new() };
    store
        .append(vec![it.outgoing("ana", "m"), it.collapsing("bo", "m", "k")], Some(idempotency))
        .await
        .unwrap();
    it.put(it.expiring("ana", "m", Duration::from_secs(1))).await;
    it.register("ana", "phone", Some("pid"), 0).await;
    it.register("nobody wrote to", "phone", Some("another"), 0).await;
    for _ in 0..2 {
        it.clock.advance(Duration::from_secs(91 * 24 * 60 * 60));
        it.sweep().await;
    }
    for table in [
        "SELECT count(*) FROM item",
        "SELECT count(*) FROM body",
        "SELECT count(*) FROM device",
        "SELECT count(*) FROM registration",
        "SELECT count(*) FROM visitor",
        "SELECT count(*) FROM idempotency",
    ] {
        assert_eq!(store.writer.submit(Ask(table)).await.unwrap(), 0, "{table}");
    }
    // What was numbered stays numbered.
    assert_eq!(store.writer.submit(Ask("SELECT count(*) FROM inbox")).await.unwrap(), 2);
    it.heard();
    it.audit("ana").await;
}

#[tokio::test]
async fn a_reader_that_never_ends_holds_up_nobody() {
    let options = Options { wal_bytes: 1 << 20, ..Options::default() };
    let Bench { it, store, _dir } = open(options);
    it.send("ana", "m").await;
    let shell = rusqlite::Connection::open(_dir.path().join("tidings.db")).unwrap();
    let total = || shell.query_row("SELECT total FROM inbox", [], |row| row.get::<_, i64>(0)).unwrap();
    shell.execute_batch("BEGIN").unwrap();
    assert_eq!(total(), 1);
    for _ in 0..10 {
        it.append((0..20).map(|_| heavy(&it, "ana")).collect()).await;
    }
    assert_eq!((total(), store.stats().restarts), (1, 0));
    shell.execute_batch("COMMIT").unwrap();
    assert_eq!(total(), 201);
    for _ in 0..10 {
        it.append((0..20).map(|_| heavy(&it, "ana")).collect()).await;
    }
    assert!(store.stats().restarts > 0);
    it.audit("ana").await;
}

/// Breaks down when it hears of anything.
struct Panics;

impl Observer for Panics {
    fn committed(&self, _: Change) {
        panic!("as this test wants it");
    }
}

#[tokio::test]
async fn without_its_writer_the_store_says_so() {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::start());
    let store = SqliteStore::open(dir.path(), Options::default(), clock.clone(), Arc::new(Panics)).unwrap();
    let store = Arc::new(store);
    let it = Fixture::of(store.clone(), clock, Arc::default());
    assert!(is_unavailable(&store.append(vec![it.outgoing("ana", "m")], None).await));
    assert!(is_unavailable(&store.append(vec![it.outgoing("ana", "m")], None).await));
    assert!(is_unavailable(&store.ready().await));
    store.close().await;
}

#[tokio::test]
async fn closing_waits_for_a_stalled_disk_only_so_long() {
    let Bench { it, store, _dir } = open(Options::default());
    let (stall, begun, release) = Stall::new();
    let stalled = tokio::spawn({
        let store = store.clone();
        async move { store.writer.submit(stall).await }
    });
    while begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    store.close().await;
    drop((it, stalled.await, store));
    release.send(()).unwrap();
}

#[tokio::test]
async fn the_log_beside_the_file_stays_bounded() {
    let options = Options { wal_bytes: 1 << 20, ..Options::default() };
    let Bench { it, store, _dir } = open(options);
    for _ in 0..40 {
        it.append((0..20).map(|_| heavy(&it, "ana")).collect()).await;
    }
    assert!(store.stats().restarts > 3, "{:?}", store.stats());
    let log = std::fs::metadata(_dir.path().join("tidings.db-wal")).unwrap().len();
    assert!(log < 8 << 20, "{log}");
    it.audit("ana").await;
}
