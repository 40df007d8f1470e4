//! What grouping makes of a server that speaks MongoDB's protocol. Prints figures, judges none.
//!
//! `cargo run --release -p tidings-store-mongo --example bench_store -- mongodb://127.0.0.1:27017 [SENDS]`
//!
//! The same notifications with the same indexes, the same driver, durability and number of senders: once a document a
//! request, as a store without groups would write them (and without numbering them, which would cost it more), once through
//! the store. The databases `tidings_bench_…` are dropped at the end.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use futures_util::{StreamExt, stream};
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, DatabaseOptions, WriteConcern};
use mongodb::{Client, Database};
use std::sync::Arc;
use std::time::Instant;
use tidings_domain::{Content, NotificationId, SystemClock, UserId};
use tidings_store::{Outgoing, Silent, Store};
use tidings_store_mongo::{MongoStore, Options};

const USERS: usize = 1_000;
const SENDERS: usize = 512;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1);
    let server = args.next().expect("the server's address, like mongodb://127.0.0.1:27017");
    let sends: usize = args.next().map_or(20_000, |text| text.parse().unwrap());
    let name = format!("tidings_bench_{}", uuid::Uuid::new_v4().simple());
    let uri = format!("{}/{name}", server.trim_end_matches('/'));
    let store = Arc::new(
        MongoStore::open(&uri, Options::default(), Arc::new(SystemClock), Arc::new(Silent)).await.unwrap(),
    );
    let mut client = ClientOptions::parse(&uri).await.unwrap();
    client.max_pool_size = Some(64);
    let majority =
        WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build();
    let concerns = DatabaseOptions::builder().write_concern(majority).build();
    let db = Client::with_options(client).unwrap().database_with_options(&name, concerns);
    let users: Arc<Vec<UserId>> =
        Arc::new((0..USERS).map(|n| UserId::new(&format!("user-{n:04}")).unwrap()).collect());
    println!("{SENDERS} senders, {USERS} users");
    for _ in 0..2 {
        alone(&db, sends / 4).await;
        grouped(&store, &users, sends).await;
    }
    store.close().await;
    db.drop().await.unwrap();
}

/// The processor seconds of this process so far, of all its threads.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11);
    (ticks(fields.next()) + ticks(fields.next())) / 100.0
}

fn report(what: &str, sends: usize, began: Instant, cpu_before: f64) {
    let per_second = sends as f64 / began.elapsed().as_secs_f64();
    let cpu = (cpu() - cpu_before) * 100_000.0 / sends as f64;
    println!("{what}: {sends} sends, {per_second:.0}/s, this process {cpu:.1} CPU s per 100,000");
}

async fn alone(db: &Database, sends: usize) {
    let (began, before) = (Instant::now(), cpu());
    // Beside the store's documents, under its indexes: a user of its own for each, so that none is in the other's way.
    let run = uuid::Uuid::new_v4().simple().to_string();
    let inboxes = db.collection::<Document>("tidings_inboxes");
    let inserts: Vec<_> = (0..sends)
        .map(|n| {
            let document = doc! {
                "_id": mongodb::bson::Uuid::new(), "user_id": format!("{run}-{}", n % USERS), "key": n as i64 + 1,
                "rev": n as i64 + 1, "created_at": mongodb::bson::DateTime::now(), "title": "Order Placed!",
                "message": "Your order #12345 has been confirmed and is on its way to you.",
                "data": r#"{"order":12345,"items":[1,2,3],"total":"12.50"}"#, "category": "orders",
                "priority": "normal", "after": { "total": 1_i64, "unread": 1_i64, "unseen": 1_i64 },
            };
            let inboxes = inboxes.clone();
            async move { inboxes.insert_one(document).await.unwrap() }
        })
        .collect();
    stream::iter(inserts).buffer_unordered(SENDERS).for_each(|_| std::future::ready(())).await;
    report("a document a request", sends, began, before);
}

async fn grouped(store: &Arc<MongoStore>, users: &Arc<Vec<UserId>>, sends: usize) {
    let mut content = Content::text("Your order #12345 has been confirmed and is on its way to you.");
    content.title = "Order Placed!".to_owned();
    content.data = serde_json::from_str(r#"{"order":12345,"items":[1,2,3],"total":"12.50"}"#).unwrap();
    content.category = Some("orders".to_owned());
    let content = Arc::new(content);
    let (began, before) = (Instant::now(), cpu());
    let sending: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (store, users, content) = (store.clone(), users.clone(), content.clone());
            tokio::spawn(async move {
                for n in (sender..sends).step_by(SENDERS) {
                    let outgoing = Outgoing {
                        user_id: users[n % USERS].clone(),
                        id: NotificationId::new(uuid::Uuid::new_v4()),
                        content: content.clone(),
                        expires_at: None,
                        collapse_key: None,
                    };
                    store.append(vec![outgoing], None).await.unwrap();
                }
            })
        })
        .collect();
    for sender in sending {
        sender.await.unwrap();
    }
    report("through the store", sends, began, before);
}
