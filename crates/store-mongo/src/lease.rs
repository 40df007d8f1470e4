//! The only node at a single server.
//!
//! Without transactions two nodes are not safe together, so the first holds a lease, and renews it; another one is refused.
//! Who ended without giving it back holds it for its term more. A node whose lease may have run out, because it stood still
//! or could not reach the server, writes nothing until it has it again.

use crate::documents::META;
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::schema::ID;
use crate::writes::Writes;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The document of [`META`] that says who holds it.
pub(crate) const NODE: &str = "node";

/// This node's lease.
#[derive(Debug)]
pub(crate) struct Lease {
    holder: ObjectId,
    /// How long it holds when it is not renewed.
    term: Duration,
    opened: Instant,
    /// Until when it holds, in milliseconds since `opened`.
    until: AtomicU64,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Held {
    holder: ObjectId,
    renewals: i64,
}

/// Another node holds it.
#[derive(Debug)]
pub(crate) struct Taken;

impl Lease {
    pub(crate) fn new(term: Duration) -> Self {
        Self { holder: ObjectId::new(), term, opened: Instant::now(), until: AtomicU64::new(0) }
    }

    /// Whether it holds at this moment.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let now = self.opened.elapsed().as_millis() as u64;
        if now < self.until.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Failure::Passing("this node has lost touch with the database for a while".to_owned()))
    }

    fn holds_from(&self, asked: Instant) {
        // A little less, since clocks do not run alike.
        let until = asked.duration_since(self.opened) + self.term - self.term / 6;
        self.until.store(until.as_millis() as u64, Ordering::Release);
    }
}

impl Mongo {
    /// Takes the lease, or waits until its holder shows no life for as long as it holds. [`Taken`]: somebody else renews it.
    pub(crate) async fn take_lease(&self) -> Result<Result<(), Taken>, Failure> {
        let mut seen = self.held().await?;
        // The last renewal of a node that has just died may still be on its way: one is no sign of life, two are.
        let mut renewals = 0;
        while seen.is_some() {
            tracing::info!("another node holds this database; waiting whether it is alive");
            sleep(self.lease.term + self.lease.term / 6).await;
            let now = self.held().await?;
            if now == seen {
                break;
            }
            renewals += 1;
            if renewals == 2 {
                return Ok(Err(Taken));
            }
            seen = now;
        }
        let asked = Instant::now();
        let place = match &seen {
            Some(seen) => doc! { "_id": NODE, "holder": seen.holder, "renewals": seen.renewals },
            // Nobody holds it; who comes at the same moment finds the id taken.
            None => doc! { "_id": NODE, "holder": self.lease.holder },
        };
        let mut writes = Writes::default();
        let next = doc! { "$set": { "holder": self.lease.holder, "renewals": 0_i64 } };
        writes.update(META, doc! { "q": place, "u": next, "upsert": seen.is_none() });
        match self.run_all(writes).await {
            Ok(_) => {}
            Err(Failure::Conflict) => return Ok(Err(Taken)),
            Err(failure) => return Err(failure),
        }
        if self.held().await?.is_none_or(|held| held.holder != self.lease.holder) {
            return Ok(Err(Taken));
        }
        self.lease.holds_from(asked);
        Ok(Ok(()))
    }

    async fn held(&self) -> Result<Option<Held>, Failure> {
        Query::new(META, ID, doc! { "_id": NODE }).one(self).await
    }

    /// Renews it. `Taken`: it was somebody else's in between.
    async fn renew_lease(&self) -> Result<Result<(), Taken>, Failure> {
        let asked = Instant::now();
        let place = doc! { "_id": NODE, "holder": self.lease.holder };
        let next = doc! { "$inc": { "renewals": 1_i64 } };
        let renewed = self.db.collection::<Document>(META).update_one(place, next).await?;
        if renewed.matched_count == 0 {
            return Ok(Err(Taken));
        }
        self.lease.holds_from(asked);
        Ok(Ok(()))
    }

    /// Gives it back.
    pub(crate) async fn return_lease(&self) {
        let place = doc! { "_id": NODE, "holder": self.lease.holder };
        if let Err(error) = self.db.collection::<Document>(META).delete_one(place).await {
            tracing::warn!(error = ?Failure::from(error), "the lease could not be given back; it runs out by itself");
        }
    }
}

/// Renews the lease for as long as the store is open.
pub(crate) async fn keep(mongo: Weak<Mongo>) {
    let Some(renewal) = mongo.upgrade().map(|mongo| mongo.lease.term / 3) else { return };
    loop {
        sleep(renewal).await;
        let Some(mongo): Option<Arc<Mongo>> = mongo.upgrade() else { return };
        match mongo.renew_lease().await {
            Ok(Ok(())) => {}
            Ok(Err(Taken)) => {
                tracing::error!("another node has taken this database; nothing is written here any more");
                return;
            }
            Err(failure) => tracing::warn!(?failure, "the lease could not be renewed; trying again"),
        }
    }
}
