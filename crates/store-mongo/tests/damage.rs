//! Documents that this store never wrote, or that lost a field: who reads them learns that they are damaged, the others are
//! served.

#![allow(clippy::unwrap_used)]

mod common;

use common::{unused, uri};
use mongodb::bson::{Document, doc};
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::MarkOp;
use tidings_store::conformance::{Fixture, ManualClock, Recorder, user};
use tidings_store::{ChangesQuery, InboxQuery, StoreError};
use tidings_store_mongo::{MongoStore, Options};

async fn change(uri: &str, filter: Document, update: Document) {
    let client = mongodb::Client::with_uri_str(uri).await.unwrap();
    let inboxes = client.default_database().unwrap().collection::<Document>("tidings_inboxes");
    assert!(inboxes.update_many(filter, update).await.unwrap().modified_count > 0);
}

async fn open(uri: &str) -> Fixture {
    let (clock, news) = (Arc::new(ManualClock::start()), Arc::new(Recorder::default()));
    let options = Options { patience: Duration::from_secs(30), ..Options::default() };
    let store = MongoStore::open(uri, options, clock.clone(), news.clone()).await.unwrap();
    Fixture::of(Arc::new(store), clock, news)
}

#[track_caller]
fn assert_damaged<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Damaged(_))), "{answer:?}");
}

/// A store with notifications of ana's and bo's; ana's are changed before anything of them is known to the node.
async fn damaged(update: Document) -> Fixture {
    let uri = uri(&unused("d"));
    let it = open(&uri).await;
    it.send_many("ana", 3).await;
    it.send_many("bo", 3).await;
    it.store.close().await;
    change(&uri, doc! { "user_id": "ana" }, update).await;
    let it = open(&uri).await;
    // Ids begin with the time: these are others than those of before.
    it.clock.advance(Duration::from_secs(1));
    it
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_without_its_time_is_damage_of_its_inbox_alone() {
    let it = damaged(doc! { "$unset": { "created_at": "" } }).await;
    let page = || InboxQuery { limit: 10, ..InboxQuery::default() };
    assert_damaged(it.store.inbox(&user("ana"), page()).await);
    assert_damaged(it.store.changes(&user("ana"), ChangesQuery::new(0, 10)).await);
    assert_eq!(it.listed("bo").await, [3, 2, 1]);
    it.store.ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_together_with_it_is_written() {
    let it = damaged(doc! { "$unset": { "after": "" } }).await;
    let (mut sends, mut acks) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        for to in ["ana", "bo"] {
            let (store, outgoing) = (it.store.clone(), it.outgoing(to, "m"));
            sends.push((to, tokio::spawn(async move { store.append(vec![outgoing], None).await })));
            let store = it.store.clone();
            let ack = async move { store.acknowledge(&user(to), None, 0, 1).await };
            acks.push((to, tokio::spawn(ack)));
        }
    }
    for (to, send) in sends {
        match to {
            "ana" => assert_damaged(send.await.unwrap()),
            _ => drop(send.await.unwrap().unwrap()),
        }
    }
    for (to, ack) in acks {
        match to {
            "ana" => assert_damaged(ack.await.unwrap()),
            _ => assert_eq!(ack.await.unwrap().unwrap(), 1),
        }
    }
    assert_eq!(it.head("bo").await, 13);
    assert_eq!(it.mark_up_to("bo", MarkOp::Read, 13).await.changed, 13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upkeep_goes_on_beside_it() {
    let uri = uri(&unused("d"));
    let it = open(&uri).await;
    for to in ["ana", "bo"] {
        it.put(it.expiring(to, "m", Duration::from_secs(1))).await;
    }
    it.store.close().await;
    change(&uri, doc! { "user_id": "ana" }, doc! { "$unset": { "after": "" } }).await;
    let it = open(&uri).await;
    it.clock.advance(Duration::from_secs(1));
    assert_eq!(it.sweep().await.expired, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_without_its_cursor_is_not_taken_for_the_progress_of_its_inbox() {
    let uri = uri(&unused("d"));
    let it = open(&uri).await;
    it.send_many("ana", 3).await;
    it.acknowledge("ana", "phone", 0, 3).await;
    it.store.close().await;
    change(&uri, doc! { "key": "device:phone" }, doc! { "$unset": { "cursor": "" } }).await;
    let it = open(&uri).await;
    let phone = tidings_domain::DeviceId::new("phone").unwrap();
    assert_damaged(it.store.locate(&user("ana"), Some(&phone)).await);
    assert_eq!(it.store.locate(&user("ana"), None).await.unwrap().confirmed, 3);
}
