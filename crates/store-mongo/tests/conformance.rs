//! The promises that every store is held to: on a replica set, and on a single server without transactions.

mod common;

use async_trait::async_trait;
use common::{single_uri, unused, uri};
use std::sync::Arc;
use tidings_domain::Clock;
use tidings_store::conformance::Factory;
use tidings_store::{Observer, Store};
use tidings_store_mongo::{MongoStore, Options};

/// Stores in databases of their own.
struct Databases {
    name: String,
    uri: fn(&str) -> String,
}

#[async_trait]
impl Factory for Databases {
    async fn open(&self, name: &str, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Arc<dyn Store> {
        let uri = (self.uri)(&format!("{}_{name}", self.name));
        Arc::new(MongoStore::open(&uri, Options::default(), clock, observer).await.expect("a store opens"))
    }

    fn sequences(&self) -> (u64, u64) {
        (3, 60)
    }
}

mod on_a_replica_set {
    use super::*;
    tidings_store::conformance!(Databases { name: unused("c"), uri });
}

mod on_a_single_server {
    use super::*;
    tidings_store::conformance!(Databases { name: unused("s"), uri: single_uri });
}
