//! What a store refuses to open, and that it leaves it as it was.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tidings_domain::{Content, NotificationId, SystemClock, UserId};
use tidings_store::{Outgoing, Silent, Store};
use tidings_store_sqlite::{OpenError, Options, SqliteStore, backup, restore};

fn open(dir: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(dir, Options::default(), Arc::new(SystemClock), Arc::new(Silent))
}

fn ana() -> UserId {
    UserId::new("ana").unwrap()
}

async fn send(store: &SqliteStore, number: u64) {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    let outgoing = Outgoing {
        user_id: ana(),
        id: NotificationId::from_bytes(id),
        content: Arc::new(Content::text("m".repeat(1_000))),
        expires_at: None,
        collapse_key: None,
    };
    store.append(vec![outgoing], None).await.unwrap();
}

/// A store that was closed cleanly, with so many notifications.
async fn closed(dir: &Path, count: u64) {
    let store = open(dir).unwrap();
    for number in 0..count {
        send(&store, number).await;
    }
    store.close().await;
}

/// What a crash leaves: the file and the log beside it.
async fn crashed(dir: &Path, count: u64) {
    let live = TempDir::new().unwrap();
    let store = open(live.path()).unwrap();
    for number in 0..count {
        send(&store, number).await;
    }
    std::fs::create_dir_all(dir).unwrap();
    for name in ["tidings.db", "tidings.db-wal"] {
        std::fs::copy(live.path().join(name), dir.join(name)).unwrap();
    }
    store.close().await;
}

/// Everything in the folder but what is no data: the lock, and SQLite's shared memory.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, path)| name != "tidings.lock" && !name.ends_with("-shm") && path.is_file())
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect()
}

/// The refusal, after which every byte is as before.
fn refusal(dir: &Path) -> OpenError {
    let before = contents(dir);
    let Err(refusal) = open(dir) else { panic!("opened what should be refused") };
    assert_eq!(contents(dir), before, "touched what it refused: {refusal}");
    assert!(!refusal.to_string().contains('\n'), "one sentence: {refusal}");
    refusal
}

fn patch(dir: &Path, at: usize, bytes: &[u8]) {
    let path = dir.join("tidings.db");
    let mut file = std::fs::read(&path).unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(path, file).unwrap();
}

#[tokio::test]
async fn makes_its_folder_and_opens_it_again() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("a b/dät%a?x#");
    closed(&folder, 3).await;
    let store = open(&folder).unwrap();
    assert_eq!(store.counts(&ana(), None).await.unwrap().total, 3);
    store.close().await;
    assert_eq!(contents(&folder).keys().collect::<Vec<_>>(), ["tidings.db"], "a clean end leaves one file");
}

#[tokio::test]
async fn one_at_a_time() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).unwrap();
    send(&store, 1).await;
    let refusal = refusal(dir.path());
    assert!(matches!(refusal, OpenError::Locked { .. }), "{refusal}");
    send(&store, 2).await;
    // Dropping it is enough.
    drop(store);
    assert_eq!(open(dir.path()).unwrap().counts(&ana(), None).await.unwrap().total, 2);
}

#[tokio::test]
async fn a_newer_layout_is_refused() {
    let dir = TempDir::new().unwrap();
    closed(dir.path(), 1).await;
    patch(dir.path(), 60, &99_u32.to_be_bytes());
    let refusal = refusal(dir.path());
    assert!(matches!(refusal, OpenError::Newer { found: 99, .. }), "{refusal}");
}

#[tokio::test]
async fn what_is_something_else_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("tidings.db");
    for other in [&b""[..], b"hello", &[0; 4096], &[b'x'; 100_000]] {
        std::fs::write(&path, other).unwrap();
        let refusal = refusal(dir.path());
        assert!(matches!(refusal, OpenError::Foreign { .. }), "{refusal}");
    }
    std::fs::remove_file(&path).unwrap();
    let theirs = rusqlite::Connection::open(&path).unwrap();
    theirs.execute_batch("PRAGMA application_id = 1; CREATE TABLE t (x); INSERT INTO t VALUES (1);").unwrap();
    theirs.close().unwrap();
    let refusal = refusal(dir.path());
    assert!(matches!(refusal, OpenError::Foreign { .. }), "{refusal}");
}

#[tokio::test]
async fn a_damaged_page_is_found_at_start() {
    let dir = TempDir::new().unwrap();
    closed(dir.path(), 100).await;
    let whole = std::fs::read(dir.path().join("tidings.db")).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 20);
    for page in [1, pages / 2, pages - 1] {
        std::fs::write(dir.path().join("tidings.db"), &whole).unwrap();
        patch(dir.path(), page * 4096, &[0xa5; 4096]);
        let refusal = refusal(dir.path());
        assert!(matches!(refusal, OpenError::Corrupt { .. }), "page {page}: {refusal}");
    }
    std::fs::write(dir.path().join("tidings.db"), &whole[..whole.len() - 4096]).unwrap();
    let refusal = refusal(dir.path());
    assert!(matches!(refusal, OpenError::Corrupt { .. }), "cut off: {refusal}");
    std::fs::write(dir.path().join("tidings.db"), &whole).unwrap();
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_crash_is_repaired_and_damage_after_it_is_not_made_worse() {
    let dir = TempDir::new().unwrap();
    let good = dir.path().join("good");
    crashed(&good, 50).await;
    assert!(contents(&good)["tidings.db-wal"].len() > 4096);
    assert_eq!(open(&good).unwrap().counts(&ana(), None).await.unwrap().total, 50);

    let bad = dir.path().join("bad");
    crashed(&bad, 50).await;
    // The last page of the young file is an index that nobody has used, so the log does not replace it.
    let last = std::fs::metadata(bad.join("tidings.db")).unwrap().len() as usize - 4096;
    patch(&bad, last, &[0xa5; 4096]);
    let refusal = refusal(&bad);
    assert!(matches!(refusal, OpenError::Corrupt { .. }), "{refusal}");
}

#[tokio::test]
async fn what_cannot_be_a_folder_or_a_file_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for folder in [file.clone(), file.join("below")] {
        let Err(refusal) = open(&folder) else { panic!("opened a file as a folder") };
        assert!(matches!(refusal, OpenError::NotWritable { .. }), "{refusal}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
    let folder = dir.path().join("folder");
    std::fs::create_dir_all(folder.join("tidings.db")).unwrap();
    let refusal = refusal(&folder);
    assert!(matches!(refusal, OpenError::NotWritable { .. }), "{refusal}");
}

#[tokio::test]
async fn a_beginning_that_was_cut_off_is_made_anew() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("tidings.db.new"), "half").unwrap();
    closed(dir.path(), 1).await;
    assert_eq!(contents(dir.path()).keys().collect::<Vec<_>>(), ["tidings.db"]);
}

#[tokio::test]
async fn a_log_without_its_database_is_refused() {
    let dir = TempDir::new().unwrap();
    crashed(dir.path(), 5).await;
    std::fs::remove_file(dir.path().join("tidings.db")).unwrap();
    let refusal = refusal(dir.path());
    assert!(matches!(refusal, OpenError::Corrupt { .. }), "{refusal}");
}

#[tokio::test]
async fn a_copy_of_a_living_store_becomes_another_life_of_it() {
    let dir = TempDir::new().unwrap();
    let (live, copy, again) =
        (dir.path().join("live"), dir.path().join("it's a copy"), dir.path().join("again"));
    let store = open(&live).unwrap();
    for number in 0..20 {
        send(&store, number).await;
    }
    backup(&live, &copy).unwrap();
    send(&store, 20).await;
    let epoch = store.epoch().clone();
    store.close().await;
    assert_eq!(open(&live).unwrap().epoch(), &epoch, "the original lives on");

    restore(&copy, &again).unwrap();
    let restored = open(&again).unwrap();
    assert_ne!(restored.epoch(), &epoch);
    let first = restored.epoch().clone();
    assert_eq!(restored.counts(&ana(), None).await.unwrap().total, 20);
    send(&restored, 21).await;
    assert_eq!(restored.locate(&ana(), None).await.unwrap().head, 21);
    restored.close().await;
    assert_eq!(open(&again).unwrap().epoch(), &first, "one new life, not one at each start");
    assert_eq!(contents(&again).keys().collect::<Vec<_>>(), ["tidings.db"]);
}

#[tokio::test]
async fn copying_overwrites_nothing_and_takes_nothing_foreign() {
    let dir = TempDir::new().unwrap();
    let (live, copy, other) = (dir.path().join("live"), dir.path().join("copy"), dir.path().join("other"));
    closed(&live, 3).await;
    std::fs::write(&copy, "mine").unwrap();
    let before = contents(&live);
    let Err(OpenError::Exists { .. }) = backup(&live, &copy) else { panic!("overwrote") };
    assert_eq!(std::fs::read(&copy).unwrap(), b"mine");
    let Err(OpenError::Foreign { .. }) = restore(&copy, &other) else { panic!("took something else") };
    std::fs::remove_file(&copy).unwrap();
    backup(&live, &copy).unwrap();
    let Err(OpenError::Exists { .. }) = restore(&copy, &live) else { panic!("overwrote") };
    let mut damaged = std::fs::read(&copy).unwrap();
    damaged[4096..8192].fill(0xa5);
    std::fs::write(&copy, damaged).unwrap();
    let Err(OpenError::Corrupt { .. }) = restore(&copy, &other) else { panic!("took damage") };
    assert_eq!(contents(&live)["tidings.db"], before["tidings.db"]);
    assert!(!other.join("tidings.db").exists());
}

/// The mode of each file of a folder, and of the folder itself as `.`.
fn modes(dir: &Path) -> BTreeMap<String, u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut modes: BTreeMap<_, _> =
        files.map(|file| (file.file_name().into_string().unwrap(), mode(&file.path()))).collect();
    modes.insert(".".to_owned(), mode(dir));
    modes
}

#[tokio::test]
async fn what_a_store_makes_is_its_owners_alone() {
    let base = TempDir::new().unwrap();
    let dir = base.path().join("data");
    let store = open(&dir).unwrap();
    send(&store, 1).await;
    let live = modes(&dir);
    assert!(live.contains_key("tidings.db-wal") && live.contains_key("tidings.lock"), "{live:?}");
    for (name, mode) in live {
        assert_eq!(mode, if name == "." { 0o700 } else { 0o600 }, "{name}");
    }
    let copy = base.path().join("copy");
    backup(&dir, &copy).unwrap();
    store.close().await;
    assert_eq!(modes(base.path())["copy"], 0o600);
    // A copy that somebody has opened to others makes no store that is open.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
    let restored = base.path().join("restored");
    restore(&copy, &restored).unwrap();
    assert_eq!(modes(&restored)["tidings.db"], 0o600);
    assert_eq!(modes(&restored)["."], 0o700);
    open(&restored).unwrap().close().await;
}

#[tokio::test]
async fn a_lock_file_that_others_could_lock_is_closed_to_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    closed(dir.path(), 1).await;
    let lock = dir.path().join("tidings.lock");
    std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o644)).unwrap();
    open(dir.path()).unwrap().close().await;
    assert_eq!(modes(dir.path())["tidings.lock"], 0o600);
}
