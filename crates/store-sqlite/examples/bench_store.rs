//! What this machine's disk and processor make of the store. Prints figures, judges none.
//!
//! `cargo run --release -p tidings-store-sqlite --example bench_store [-- FOLDER [ROWS]]`
//!
//! F is the time of one sync of a small append to a file in the same folder; most figures of writing follow from it.
//! Syncs are counted by `strace -f -c -e trace=fsync,fdatasync`; the number to divide by is the commits printed here.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidings_domain::{Content, Mark, MarkOp, MarkTarget, NotificationId, SystemClock, UserId};
use tidings_store::{InboxQuery, Outgoing, Silent, Store};
use tidings_store_sqlite::{Options, SqliteStore};

const USERS: usize = 10_000;
const PRODUCERS: usize = 512;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1);
    let own = tempfile::tempdir().unwrap();
    let dir = args.next().map_or_else(|| own.path().to_owned(), PathBuf::from);
    let rows: usize = args.next().map_or(1_000_000, |text| text.parse().unwrap());
    let sync = time_of_a_sync(&dir);
    println!("F, one sync (median): {sync:?}");
    let store = Arc::new(
        SqliteStore::open(&dir, Options::default(), Arc::new(SystemClock), Arc::new(Silent)).unwrap(),
    );
    let users: Arc<Vec<UserId>> =
        Arc::new((0..USERS).map(|n| UserId::new(&format!("user-{n:05}")).unwrap()).collect());

    alone(&store, &users).await;
    appends(&store, &users, rows.min(200_000)).await;
    batches(&store, &users, rows.saturating_sub(200_000).min(200_000)).await;
    fill(&store, &users, rows.saturating_sub(400_000)).await;
    if rows >= 400_000 {
        appends(&store, &users, 100_000).await;
    }
    reads(&store, &users).await;
    marks(&store).await;
    println!("{:?}", store.stats());
    let at = Instant::now();
    store.close().await;
    println!("closing: {:?}; file: {} MB", at.elapsed(), size(&dir.join("tidings.db")) >> 20);
    drop(store);
    let at = Instant::now();
    SqliteStore::open(&dir, Options::default(), Arc::new(SystemClock), Arc::new(Silent)).unwrap();
    println!("opening: {:?}", at.elapsed());
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn time_of_a_sync(dir: &Path) -> Duration {
    let path = dir.join("sync-probe");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut times: Vec<_> = (0..101)
        .map(|_| {
            file.write_all(&[7; 8192]).unwrap();
            let at = Instant::now();
            file.sync_data().unwrap();
            at.elapsed()
        })
        .collect();
    std::fs::remove_file(path).unwrap();
    times.sort();
    times[50]
}

/// The processor seconds of this process so far, of all its threads.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11);
    (ticks(fields.next()) + ticks(fields.next())) / 100.0
}

fn content() -> Arc<Content> {
    let mut content = Content::text("Your order #12345 has been confirmed and is on its way to you.");
    content.title = "Order Placed!".to_owned();
    content.data = serde_json::from_str(r#"{"order":12345,"items":[1,2,3],"total":"12.50"}"#).unwrap();
    content.category = Some("orders".to_owned());
    content.url = Some("https://example.org/orders/12345".to_owned());
    Arc::new(content)
}

/// Ids as the server makes them: the time, and then as good as random.
fn new_id() -> NotificationId {
    use std::sync::atomic::{AtomicU64, Ordering};
    static MADE: AtomicU64 = AtomicU64::new(0);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    let millis =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8..].copy_from_slice(&made.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    NotificationId::from_bytes(bytes)
}

fn outgoing(user: &UserId, content: &Arc<Content>) -> Outgoing {
    Outgoing {
        user_id: user.clone(),
        id: new_id(),
        content: content.clone(),
        expires_at: None,
        collapse_key: None,
    }
}

/// One caller, one notification a call: what a send takes when nothing else goes on.
async fn alone(store: &SqliteStore, users: &[UserId]) {
    let (content, mut times) = (content(), Vec::new());
    for user in users.iter().cycle().step_by(7).take(2_000) {
        let at = Instant::now();
        store.append(vec![outgoing(user, &content)], None).await.unwrap();
        times.push(at.elapsed());
    }
    println!("one append, nothing else going on: {}", spread(times));
}

/// One caller for each of the producers, one notification a call, users at random.
async fn appends(store: &Arc<SqliteStore>, users: &Arc<Vec<UserId>>, count: usize) {
    if count == 0 {
        return;
    }
    let (before, used, at) = (store.stats(), cpu(), Instant::now());
    let content = content();
    let tasks: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (store, users, content) = (store.clone(), users.clone(), content.clone());
            tokio::spawn(async move {
                let mut random = producer as u64;
                for _ in 0..count / PRODUCERS {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let user = &users[(random >> 33) as usize % USERS];
                    store.append(vec![outgoing(user, &content)], None).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let (took, used) = (at.elapsed(), cpu() - used);
    let (commits, restarts) =
        (store.stats().commits - before.commits, store.stats().restarts - before.restarts);
    let count = count / PRODUCERS * PRODUCERS;
    println!(
        "appends, {PRODUCERS} producers: {:.0}/s ({count} in {took:.2?}, {used:.2} CPU s, {:.1} µs each), \
         {commits} commits of {:.0}, log restarted {restarts} times",
        count as f64 / took.as_secs_f64(),
        used * 1e6 / count as f64,
        count as f64 / commits as f64,
    );
}

/// A thousand to a call, one call after the other.
async fn batches(store: &SqliteStore, users: &[UserId], count: usize) {
    if count == 0 {
        return;
    }
    let content = content();
    let (used, at) = (cpu(), Instant::now());
    for batch in 0..count / 1_000 {
        let to = (0..1_000).map(|n| &users[(batch * 1_000 + n) * 7 % USERS]);
        store.append(to.map(|user| outgoing(user, &content)).collect(), None).await.unwrap();
    }
    let (took, used) = (at.elapsed(), cpu() - used);
    println!(
        "batches of 1,000, one caller: {:.0} rows/s ({used:.2} CPU s, {:.1} µs each)",
        count as f64 / took.as_secs_f64(),
        used * 1e6 / count as f64
    );
}

async fn fill(store: &Arc<SqliteStore>, users: &Arc<Vec<UserId>>, count: usize) {
    if count == 0 {
        return;
    }
    let (used, at) = (cpu(), Instant::now());
    let tasks: Vec<_> = (0..4)
        .map(|part| {
            let (store, users, content) = (store.clone(), users.clone(), content());
            tokio::spawn(async move {
                for batch in 0..count / 4_000 {
                    let to = (0..1_000).map(|n| &users[((batch * 4 + part) * 1_000 + n) * 7 % USERS]);
                    store.append(to.map(|user| outgoing(user, &content)).collect(), None).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    println!(
        "batches of 1,000, four callers: {:.0} rows/s ({:.2} CPU s)",
        count as f64 / at.elapsed().as_secs_f64(),
        cpu() - used
    );
}

/// The median and the 99th percentile.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("{:.1?} (99%: {:.1?})", times[times.len() / 2], times[times.len() * 99 / 100])
}

async fn reads(store: &SqliteStore, users: &[UserId]) {
    let query = InboxQuery { limit: 20, ..InboxQuery::default() };
    let spots: Vec<&UserId> = (0..5_000).map(|n| &users[n * 7_919 % USERS]).collect();
    let times = |read: &dyn Fn(&UserId)| {
        let timed = spots.iter().map(|user| {
            let at = Instant::now();
            read(user);
            at.elapsed()
        });
        spread(timed.collect())
    };
    println!("newest 20, the reader: {}", times(&|user| drop(store.inbox_here(user, &query).unwrap())));
    println!("counts, the reader: {}", times(&|user| _ = store.counts_here(user).unwrap()));
    let (mut pages, mut counts) = (Vec::new(), Vec::new());
    for user in &spots {
        let at = Instant::now();
        store.inbox(user, query.clone()).await.unwrap();
        pages.push(at.elapsed());
        let at = Instant::now();
        store.counts(user, None).await.unwrap();
        counts.push(at.elapsed());
    }
    println!("newest 20, the call: {}", spread(pages));
    println!("counts, the call: {}", spread(counts));
}

/// 1,000 of one inbox, by bound and by ids. Durable, so each has a sync in it.
async fn marks(store: &SqliteStore) {
    let content = content();
    let user = UserId::new("marker").unwrap();
    let batch = || (0..1_000).map(|_| outgoing(&user, &content)).collect::<Vec<_>>();
    let first = batch();
    let ids: Vec<_> = first.iter().map(|item| item.id).collect();
    store.append(first, None).await.unwrap();
    let time = async |what: &str, op: [MarkOp; 2], target: MarkTarget| {
        let (mut times, used) = (Vec::new(), cpu());
        for turn in 0..100 {
            let mark = Mark { op: op[turn % 2], target: target.clone(), category: None };
            let at = Instant::now();
            assert_eq!(store.mark(&user, mark).await.unwrap().changed, 1_000);
            times.push(at.elapsed());
        }
        let used = (cpu() - used) * 10.0;
        println!("mark 1,000 {what}, with its sync: {} ({used:.1} CPU ms each)", spread(times));
    };
    time("read or unread, by bound", [MarkOp::Read, MarkOp::Unread], MarkTarget::UpTo(u64::MAX)).await;
    time("read or unread, by ids", [MarkOp::Read, MarkOp::Unread], MarkTarget::Ids(ids.clone())).await;
    time("archived or not, by ids", [MarkOp::Archive, MarkOp::Unarchive], MarkTarget::Ids(ids)).await;
    let mut fresh = Vec::new();
    for _ in 0..20 {
        store.append(batch(), None).await.unwrap();
        let mark = Mark { op: MarkOp::Read, target: MarkTarget::UpTo(u64::MAX), category: None };
        let at = Instant::now();
        store.mark(&user, mark).await.unwrap();
        fresh.push(at.elapsed());
    }
    println!("mark 1,000 new ones read, with its sync: {}", spread(fresh));
}
