//! Bytes of the file are overwritten, as a failing disk does: who reads them learns that they are damaged, the others are
//! served.

#![allow(clippy::unwrap_used)]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tidings_domain::{Content, Mark, MarkOp, MarkTarget, NotificationId, SystemClock, UserId};
use tidings_store::{Appended, ChangesQuery, InboxQuery, Outgoing, Silent, Store, StoreError};
use tidings_store_sqlite::{OpenError, Options, SqliteStore};

const PAGE: usize = 4_096;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn open(dir: &Path, options: Options) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(dir, options, Arc::new(SystemClock), Arc::new(Silent))
}

/// Found late, as in a file that is too large to be checked whole at the start.
fn unchecked() -> Options {
    Options { check_bytes: 0, ..Options::default() }
}

async fn send(store: &SqliteStore, to: &str, number: u8) -> Result<Appended, StoreError> {
    let mut id = [number; 16];
    id[..to.len()].copy_from_slice(to.as_bytes());
    let outgoing = Outgoing {
        user_id: user(to),
        id: NotificationId::from_bytes(id),
        content: Arc::new(Content::text(format!("for {to} {}", "x".repeat(1_000)))),
        expires_at: None,
        collapse_key: None,
    };
    store.append(vec![outgoing], None).await
}

fn page() -> InboxQuery {
    InboxQuery { limit: 100, bytes: usize::MAX, ..InboxQuery::default() }
}

/// A file with a hundred notifications each, on pages of their own but for one.
async fn filled(dir: &Path) {
    let store = open(dir, Options::default()).unwrap();
    for to in ["ana", "bo"] {
        for number in 0..100 {
            send(&store, to, number).await.unwrap();
        }
    }
    store.close().await;
}

/// What the page of a table begins with that holds rows, and no way to other pages.
const LEAF: u8 = 0x0d;

/// Overwrites every page that holds texts of ana's and none of bo's.
fn damage(file: &File) {
    let size = file.metadata().unwrap().len() as usize;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let holds = |page: &[u8], text: &[u8]| page.windows(text.len()).any(|window| window == text);
    let mut damaged = 0;
    for (number, page) in bytes.chunks(PAGE).enumerate() {
        if page[0] == LEAF && holds(page, b"for ana ") && !holds(page, b"for bo ") {
            file.write_all_at(&[0xa5; PAGE], (number * PAGE) as u64).unwrap();
            damaged += 1;
        }
    }
    file.sync_all().unwrap();
    assert!(damaged > 10, "{damaged} pages");
}

fn database(dir: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(dir.join("tidings.db")).unwrap()
}

#[track_caller]
fn assert_damaged<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Damaged(_))), "{answer:?}");
}

#[tokio::test]
async fn who_meets_it_is_told_so_and_the_others_are_served() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let store = open(dir.path(), unchecked()).unwrap();
    store.ready().await.unwrap();
    damage(&database(dir.path()));
    for _ in 0..3 {
        assert_damaged(store.inbox(&user("ana"), page()).await);
        assert_damaged(
            store
                .changes(&user("ana"), ChangesQuery { bytes: usize::MAX, ..ChangesQuery::new(0, 100) })
                .await,
        );
        assert_eq!(store.inbox(&user("bo"), page()).await.unwrap().notifications.len(), 100);
        assert_eq!(
            store
                .changes(&user("bo"), ChangesQuery { bytes: usize::MAX, ..ChangesQuery::new(0, 1_000) })
                .await
                .unwrap()
                .entries
                .len(),
            100
        );
    }
    assert_damaged(store.ready().await);

    // What is written together with what meets it is written.
    let (store, mut calls) = (Arc::new(store), Vec::new());
    for number in 100..140 {
        let store = store.clone();
        calls.push(tokio::spawn(async move {
            let ids = (0..100).map(|number| {
                let mut id = [number; 16];
                id[..3].copy_from_slice(b"ana");
                NotificationId::from_bytes(id)
            });
            let mark = Mark { op: MarkOp::Read, target: MarkTarget::Ids(ids.collect()), category: None };
            let (ana, bo) = (user("ana"), "bo");
            let (marked, sent) = tokio::join!(store.mark(&ana, mark), send(&store, bo, number));
            assert_damaged(marked);
            sent.unwrap();
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(store.counts(&user("bo"), None).await.unwrap().unread, 140);
    assert_damaged(store.ready().await);
    store.close().await;
}

#[tokio::test]
async fn a_row_that_is_not_what_was_written_is_damage_too() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), Options::default()).unwrap();
    send(&store, "ana", 1).await.unwrap();
    send(&store, "bo", 1).await.unwrap();
    // As large, so that no page's structure is touched: only the JSON is none any more.
    store.close().await;
    let file = database(dir.path());
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let text = br#""message":"for ana "#;
    let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
    file.write_all_at(b"}", at as u64).unwrap();
    let store = open(dir.path(), Options::default()).unwrap();
    assert_damaged(store.inbox(&user("ana"), page()).await);
    assert_eq!(store.inbox(&user("bo"), page()).await.unwrap().notifications.len(), 1);
    assert_damaged(store.ready().await);
    store.close().await;
}

#[tokio::test]
async fn it_is_refused_at_the_start_with_one_sentence() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    damage(&database(dir.path()));
    let Err(refused) = open(dir.path(), Options::default()) else { panic!("opened") };
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
    assert!(refused.to_string().contains("restore it from a backup"), "{refused}");
    assert!(!refused.to_string().contains('\n'), "{refused}");
}
