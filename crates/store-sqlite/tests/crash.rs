//! SIGKILL under load, again and again on one store. What was acknowledged is there, the numbering has no holes, and the
//! numbers are those of a recount. (A kill leaves the system's page cache; that a commit is on the disk when it returns
//! is SQLite's `synchronous=FULL`, and no test in a process can show it.)
//!
//! `TIDINGS_CRASH_ROUNDS` makes it longer.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tidings_domain::{Content, Entry, Mark, MarkOp, MarkTarget, NotificationId, SystemClock, UserId};
use tidings_store::conformance::{Fixture, ManualClock, Recorder};
use tidings_store::{Appended, Outgoing, Silent, Store, Sweep};
use tidings_store_sqlite::{Options, SqliteStore};

const FOLDER: &str = "TIDINGS_CRASH_FOLDER";
const ROUND: &str = "TIDINGS_CRASH_ROUND";
/// These only grow, so every revision is a notification.
const PLAIN: u64 = 5;
/// These are marked and swept while they grow.
const BUSY: u64 = 3;

/// A small log, so that carrying it over is killed too.
fn options() -> Options {
    Options { wal_bytes: 1 << 20, ..Options::default() }
}

/// The part of the child: writes until it is killed, and says what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is started by the other test"]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let store = SqliteStore::open(&PathBuf::from(folder), options(), Arc::new(SystemClock), Arc::new(Silent))
        .unwrap();
    let (store, made) = (Arc::new(store), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..32)
        .map(|writer| {
            let (store, made) = (store.clone(), made.clone());
            tokio::spawn(async move {
                for turn in writer.. {
                    append(&store, &made, round, turn).await;
                    if writer % 8 == 0 {
                        upkeep(&store, turn).await;
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn append(store: &SqliteStore, made: &AtomicU64, round: u64, turn: u64) {
    let outgoing = |name: String| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&round.to_be_bytes());
        id[8..].copy_from_slice(&made.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        Outgoing {
            user_id: UserId::new(&name).unwrap(),
            id: NotificationId::from_bytes(id),
            content: Arc::new(Content::text("m".repeat(1 + turn as usize % 3_000))),
            expires_at: None,
            collapse_key: None,
        }
    };
    let call = vec![outgoing(format!("plain-{}", turn % PLAIN)), outgoing(format!("busy-{}", turn % BUSY))];
    let Appended::Stored(receipts) = store.append(call, None).await.unwrap() else { unreachable!() };
    let line: String = receipts.iter().map(|r| format!(" {} {} {}", r.user_id, r.seq, r.id)).collect();
    // One write, so that lines of several tasks do not mix.
    println!("\nstored{line} .");
}

async fn upkeep(store: &SqliteStore, turn: u64) {
    let op = MarkOp::ALL[turn as usize / 8 % MarkOp::ALL.len()];
    let user = UserId::new(&format!("busy-{}", turn % BUSY)).unwrap();
    let mark = Mark { op, target: MarkTarget::UpTo(u64::MAX), category: None };
    let done = store.mark(&user, mark).await.unwrap();
    store.acknowledge(&user, None, 0, done.rev).await.unwrap();
    store.sweep(Sweep { retention: Duration::from_secs(3_600), limit: 100 }).await.unwrap();
}

fn start_child(folder: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What was acknowledged: by user, each id with its `seq`.
type Acknowledged = BTreeMap<String, Vec<(u64, NotificationId)>>;

/// Lets the child write for some acknowledgements, kills it, and notes all that it could still say.
fn one_life(folder: &Path, round: u64, acknowledged: &mut Acknowledged) {
    let mut child = start_child(folder, round);
    // Not always at the same point: also while it opens, and long after.
    let enough = [1, 40, 150, 700, 10, 400][round as usize % 6] + round * 13 % 37;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let (mut heard, mut killed) = (0, false);
    for line in &mut lines {
        // The last line may have been cut off; a whole one ends in a dot.
        let mut words = line.split(' ');
        if words.next() != Some("stored") || !line.ends_with(" .") {
            continue;
        }
        let words: Vec<_> = words.collect();
        for receipt in words.chunks_exact(3) {
            let entry = (receipt[1].parse().unwrap(), NotificationId::parse(receipt[2]).unwrap());
            acknowledged.entry(receipt[0].to_owned()).or_default().push(entry);
        }
        heard += 1;
        if heard >= enough && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself, in round {round} after {heard} answers");
}

async fn check(folder: &Path, acknowledged: &Acknowledged) {
    let (clock, news) = (Arc::new(ManualClock::start()), Arc::new(Recorder::default()));
    let store = Arc::new(SqliteStore::open(folder, options(), clock.clone(), news.clone()).unwrap());
    let it = Fixture::of(store.clone(), clock, news);
    for (name, receipts) in acknowledged {
        let log: BTreeMap<NotificationId, Entry> =
            it.changes(name, 0, 1_000).await.into_iter().map(|entry| (entry.id(), entry)).collect();
        for (seq, id) in receipts {
            let entry = log.get(id).unwrap_or_else(|| panic!("{name} lost {seq}, which was acknowledged"));
            assert_eq!(entry.seq(), *seq);
        }
        if name.starts_with("plain") {
            let mut seqs: Vec<_> = log.values().map(Entry::seq).collect();
            seqs.sort_unstable();
            assert_eq!(seqs, (1..=it.head(name).await).collect::<Vec<_>>(), "{name} has a hole");
        }
        it.audit(name).await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills() {
    let rounds = std::env::var("TIDINGS_CRASH_ROUNDS").map_or(12, |text| text.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let mut acknowledged = Acknowledged::new();
    for round in 0..rounds {
        one_life(folder.path(), round, &mut acknowledged);
        // Some lives follow on a crash directly, as they do where a supervisor restarts.
        if round % 3 == 2 {
            check(folder.path(), &acknowledged).await;
        }
    }
    check(folder.path(), &acknowledged).await;
}
