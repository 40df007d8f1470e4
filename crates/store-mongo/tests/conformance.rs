//! The promises that every store is held to: on a replica set, and on a single server without transactions.

mod common;

use async_trait::async_trait;
use common::{single_uri, unused, uri};
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::{Clock, Timestamp};
use tidings_store::conformance::{Factory, ManualClock, Movable};
use tidings_store::transfer::{Sink, Source};
use tidings_store::{Observer, Silent, Store};
use tidings_store_mongo::{ImportFrom, MongoStore, Options, export, import};

/// Stores in databases of their own.
struct Databases {
    name: String,
    uri: fn(&str) -> String,
}

impl Databases {
    fn of(&self, name: &str) -> String {
        (self.uri)(&format!("{}_{name}", self.name))
    }
}

/// All of this runs at once against a server that does one thing at a time: slow is no failure here.
fn patient() -> Options {
    Options { patience: Duration::from_secs(90), ..Options::default() }
}

#[async_trait]
impl Factory for Databases {
    async fn open(&self, name: &str, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Arc<dyn Store> {
        let uri = self.of(name);
        Arc::new(MongoStore::open(&uri, patient(), clock, observer).await.expect("a store opens"))
    }

    async fn kept(&self, name: &str) -> u64 {
        let client = mongodb::Client::with_uri_str(self.of(name)).await.expect("a server");
        let database = client.default_database().expect("a database");
        let inboxes = database.collection::<mongodb::bson::Document>("tidings_inboxes");
        inboxes.count_documents(mongodb::bson::doc! {}).await.expect("a count")
    }

    fn sequences(&self) -> (u64, u64) {
        (3, 60)
    }
}

#[async_trait]
impl Movable for Databases {
    async fn source(&self, name: &str, now: Timestamp) -> Box<dyn Source> {
        Box::new(export(&self.of(name), now).await.expect("a store is read"))
    }

    async fn sink(&self, name: &str) -> Result<Box<dyn Sink>, String> {
        match import(&self.of(name), ImportFrom::File).await {
            Ok(sink) => Ok(Box::new(sink)),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn refusal(&self, name: &str) -> Option<String> {
        let (clock, observer) = (Arc::new(ManualClock::start()), Arc::new(Silent));
        let opened = MongoStore::open(&self.of(name), Options::default(), clock, observer).await;
        opened.err().map(|error| error.to_string())
    }
}

mod on_a_replica_set {
    use super::*;
    tidings_store::conformance!(Databases { name: unused("c"), uri });
    // A single server is read by nobody while a node is there, see `moving`.
    tidings_store::transfer_conformance!(Databases { name: unused("t"), uri });
}

mod on_a_single_server {
    use super::*;
    tidings_store::conformance!(Databases { name: unused("s"), uri: single_uri });
}
