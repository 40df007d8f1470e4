//! The promises that every store is held to.

use async_trait::async_trait;
use std::sync::Arc;
use tempfile::TempDir;
use tidings_domain::{Clock, Timestamp};
use tidings_store::conformance::{Factory, ManualClock, Movable};
use tidings_store::transfer::{Sink, Source};
use tidings_store::{Observer, Silent, Store};
use tidings_store_sqlite::{Options, SqliteStore};

/// Stores in a folder that goes with it.
struct InFolder(TempDir);

#[async_trait]
impl Factory for InFolder {
    async fn open(&self, name: &str, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Arc<dyn Store> {
        let dir = self.0.path().join(name);
        Arc::new(SqliteStore::open(&dir, Options::default(), clock, observer).expect("a store opens"))
    }

    async fn kept(&self, name: &str) -> u64 {
        let conn = rusqlite::Connection::open(self.0.path().join(name).join("tidings.db")).expect("a file");
        let count = |table: &str| {
            conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u32>(0))
                .expect("a table")
        };
        ["inbox", "device", "registration", "item", "body"]
            .into_iter()
            .map(|table| u64::from(count(table)))
            .sum()
    }
}

#[async_trait]
impl Movable for InFolder {
    async fn source(&self, name: &str, now: Timestamp) -> Box<dyn Source> {
        Box::new(tidings_store_sqlite::export(&self.0.path().join(name), now).expect("a store is read"))
    }

    async fn sink(&self, name: &str) -> Result<Box<dyn Sink>, String> {
        match tidings_store_sqlite::import(&self.0.path().join(name)) {
            Ok(sink) => Ok(Box::new(sink)),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn refusal(&self, name: &str) -> Option<String> {
        let (dir, clock) = (self.0.path().join(name), Arc::new(ManualClock::start()));
        let opened = SqliteStore::open(&dir, Options::default(), clock, Arc::new(Silent));
        opened.err().map(|error| error.to_string())
    }
}

tidings_store::conformance!(InFolder(TempDir::new().unwrap()));
tidings_store::transfer_conformance!(InFolder(TempDir::new().unwrap()));
