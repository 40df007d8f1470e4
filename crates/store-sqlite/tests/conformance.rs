//! The promises that every store is held to.

use async_trait::async_trait;
use std::sync::Arc;
use tempfile::TempDir;
use tidings_domain::Clock;
use tidings_store::conformance::Factory;
use tidings_store::{Observer, Store};
use tidings_store_sqlite::{Options, SqliteStore};

/// Stores in a folder that goes with it.
struct InFolder(TempDir);

#[async_trait]
impl Factory for InFolder {
    async fn open(&self, name: &str, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Arc<dyn Store> {
        let dir = self.0.path().join(name);
        Arc::new(SqliteStore::open(&dir, Options::default(), clock, observer).expect("a store opens"))
    }
}

tidings_store::conformance!(InFolder(TempDir::new().unwrap()));
