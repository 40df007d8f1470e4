//! The promises that every store is held to.

mod common;

use async_trait::async_trait;
use common::{unused, uri};
use std::sync::Arc;
use tidings_domain::Clock;
use tidings_store::conformance::Factory;
use tidings_store::{Observer, Store};
use tidings_store_mongo::{MongoStore, Options};

/// Stores in databases of their own.
struct InDatabase(String);

#[async_trait]
impl Factory for InDatabase {
    async fn open(&self, name: &str, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Arc<dyn Store> {
        let uri = uri(&format!("{}_{name}", self.0));
        Arc::new(MongoStore::open(&uri, Options::default(), clock, observer).await.expect("a store opens"))
    }

    fn sequences(&self) -> (u64, u64) {
        (4, 60)
    }
}

tidings_store::conformance!(InDatabase(unused("c")));
