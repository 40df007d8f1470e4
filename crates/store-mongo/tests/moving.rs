//! What moving does that the conformance suite cannot see: imports that are cut off, two at once, servers without
//! transactions.

#![allow(clippy::unwrap_used)]

mod common;

use async_trait::async_trait;
use common::{Server, unused, uri};
use mongodb::Client;
use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};
use std::sync::Arc;
use tidings_domain::{Clock, Content, NotificationId, SystemClock, UserId};
use tidings_store::transfer::{Reached, Record, Sink, Slice, Source, TransferError};
use tidings_store::{ChangesQuery, Outgoing, Silent, Store, StoreError};
use tidings_store_mongo::{ImportFrom, MongoStore, Options, Originals, TakenOver, export, import};

async fn store(uri: &str) -> Result<MongoStore, String> {
    let (clock, observer) = (Arc::new(SystemClock), Arc::new(Silent));
    MongoStore::open(uri, Options::default(), clock, observer).await.map_err(|error| error.to_string())
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

async fn records(source: &mut dyn Source) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        match source.next().await.unwrap() {
            more if more.is_empty() => return all,
            more => all.extend(more),
        }
    }
}

/// As a process leaves it that is killed after its first slice.
struct Killed {
    inner: Box<dyn Sink>,
    puts: usize,
}

#[async_trait]
impl Sink for Killed {
    fn reached(&self) -> Option<&Reached> {
        self.inner.reached()
    }

    async fn put(&mut self, slice: Slice) -> Result<(), TransferError> {
        self.puts += 1;
        match self.puts {
            1 => self.inner.put(slice).await,
            _ => Err(StoreError::Unavailable("killed".to_owned()).into()),
        }
    }

    async fn finish(self: Box<Self>) -> Result<(), TransferError> {
        unreachable!("it was killed")
    }

    async fn abandon(self: Box<Self>) {}
}

async fn take_over(from: &str, sink: Box<dyn Sink>) -> Result<TakenOver, TransferError> {
    let originals = Originals::open(from).await.unwrap();
    let now = SystemClock.now();
    originals.take_over(sink, now, now, &mut |_, _| {}).await
}

/// The original's documents: so many of each user, in turns.
async fn fill(uri: &str, users: &[(&str, usize)]) -> Client {
    let client = Client::with_uri_str(uri).await.unwrap();
    let most = users.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let mut documents = Vec::new();
    for turn in 0..most {
        for (user, _) in users.iter().filter(|(_, count)| turn < *count) {
            documents.push(doc! {
                "_id": ObjectId::new(), "send_to": *user, "message": turn.to_string(), "status": "pending",
                "createdAt": DateTime::now(),
            });
        }
    }
    client.default_database().unwrap().collection("notifications").insert_many(documents).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cut_off_goes_on_after_the_last_whole_inbox() {
    let (from, to) = (uri(&unused("from")), uri(&unused("to")));
    let client = fill(&from, &[("ana", 600), ("bo", 500), ("cy", 10)]).await;
    let inner: Box<dyn Sink> = Box::new(import(&to, ImportFrom::Original).await.unwrap());
    // Ana's inbox is whole then, and of Bo's a part is there.
    take_over(&from, Box::new(Killed { inner, puts: 0 })).await.unwrap_err();
    assert!(store(&to).await.err().unwrap().contains("import"));

    let sink = import(&to, ImportFrom::Original).await.unwrap();
    assert_eq!(sink.reached(), Some(&Reached { user_id: user("ana"), notifications: 600 }));
    let second = import(&to, ImportFrom::Original).await.err().unwrap().to_string();
    assert!(second.contains("another import") && second.contains("under way"), "{second}");
    let taken = take_over(&from, Box::new(sink)).await.unwrap();
    assert_eq!((taken.users, taken.notifications, taken.before, taken.left_out), (3, 1_110, 600, 0));

    let documents = Client::with_uri_str(&to).await.unwrap().default_database().unwrap();
    let items = documents.collection::<Document>("tidings_inboxes");
    assert_eq!(items.count_documents(doc! { "rev": { "$gt": 0 } }).await.unwrap(), 1_110);
    let store = store(&to).await.unwrap();
    for (name, count) in [("ana", 600), ("bo", 500), ("cy", 10)] {
        let log = store.changes(&user(name), ChangesQuery::new(0, 1_000)).await.unwrap();
        assert_eq!((log.entries.len(), log.head, log.counts.total), (count, count as u64, count as u64));
        let revisions: Vec<u64> = log.entries.iter().map(|entry| entry.rev()).collect();
        assert_eq!(revisions, (1..=count as u64).collect::<Vec<_>>());
    }
    store.close().await;
    let indexes =
        client.default_database().unwrap().collection::<Document>("notifications").list_index_names().await;
    assert_eq!(indexes.unwrap(), ["_id_"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_kind_of_import_begins_anew() {
    let (from, to) = (uri(&unused("from")), uri(&unused("to")));
    fill(&from, &[("ana", 999), ("bo", 5)]).await;
    let inner: Box<dyn Sink> = Box::new(import(&to, ImportFrom::Original).await.unwrap());
    take_over(&from, Box::new(Killed { inner, puts: 0 })).await.unwrap_err();
    let sink = import(&to, ImportFrom::File).await.unwrap();
    assert_eq!(sink.reached(), None);
    Box::new(sink).finish().await.unwrap();
    let store = store(&to).await.unwrap();
    assert_eq!(store.locate(&user("ana"), None).await.unwrap().head, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_server_is_read_and_filled_alone() {
    let server = Server::start(&["--standalone"]);
    let (here, there) = (server.uri("here"), server.uri("there"));
    let now = SystemClock.now();
    let serving = store(&here).await.unwrap();
    let outgoing = |message: &str| Outgoing {
        user_id: user("ana"),
        id: NotificationId::new(uuid::Uuid::new_v4()),
        content: Arc::new(Content::text(message)),
        expires_at: None,
        collapse_key: None,
    };
    serving.append(vec![outgoing("1"), outgoing("2")], None).await.unwrap();
    let refused = export(&here, now).await.err().unwrap().to_string();
    assert!(refused.contains("another node is at"), "{refused}");
    serving.close().await;

    let moved = records(&mut export(&here, now).await.unwrap()).await;
    let mut intake =
        tidings_store::transfer::Intake::new(Box::new(import(&there, ImportFrom::File).await.unwrap()), now);
    for record in moved {
        intake.take(record).await.unwrap();
    }
    intake.finish().await.unwrap();
    let store = store(&there).await.unwrap();
    assert_eq!(store.changes(&user("ana"), ChangesQuery::new(0, 10)).await.unwrap().entries.len(), 2);
    store.close().await;
}
