//! The collections' indexes. They are made at the start, and every query names the one that it needs: a missing one is
//! then an error, not a slow query.

use crate::documents::{IDEMPOTENCY, INBOXES, META, REGISTRATIONS, REVOCATIONS};
use crate::failure::Failure;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Database, IndexModel};

/// Every document by its id.
pub(crate) const ID: &str = "_id_";
/// An inbox's documents by key. Unique: it is what orders the writers.
pub(crate) const LOG: &str = "log";
/// An inbox's notifications by revision.
pub(crate) const CHANGED: &str = "changed";
/// An inbox's notifications that will expire.
pub(crate) const EXPIRING: &str = "expiring";
/// An inbox's notifications that may be replaced.
pub(crate) const COLLAPSIBLE: &str = "collapsible";
/// What is due to expire, in all inboxes.
pub(crate) const DUE: &str = "due";
/// Tombstones, in all inboxes, oldest first.
pub(crate) const DELETED: &str = "deleted";
/// Revisions that are not new notifications, in all inboxes, oldest first.
pub(crate) const STEPPED: &str = "stepped";
/// Devices, in all inboxes, longest unseen first.
pub(crate) const SEEN: &str = "seen";
/// Registrations by device.
pub(crate) const OF_DEVICE: &str = "of_device";
/// By age.
pub(crate) const AGE: &str = "age";

/// The layout that this program writes.
pub(crate) const VERSION: i32 = 1;

struct Index {
    collection: &'static str,
    keys: Document,
    options: IndexOptions,
}

fn index(collection: &'static str, name: &'static str, keys: Document) -> Index {
    let options = IndexOptions::builder().name(name.to_owned()).build();
    Index { collection, keys, options }
}

impl Index {
    fn unique(mut self) -> Self {
        self.options.unique = Some(true);
        self
    }

    fn sparse(mut self) -> Self {
        self.options.sparse = Some(true);
        self
    }

    fn only(mut self, filter: Document) -> Self {
        self.options.partial_filter_expression = Some(filter);
        self
    }
}

/// The year 1, before every moment that is written, so that "later than this" means "present". Queries say it in the
/// index's words.
pub(crate) const BEGINNING: DateTime = DateTime::from_millis(-62_135_596_800_000);

fn indexes() -> Vec<Index> {
    vec![
        index(INBOXES, LOG, doc! { "user_id": 1, "key": 1 }).unique(),
        index(INBOXES, CHANGED, doc! { "user_id": 1, "rev": 1 }),
        index(INBOXES, EXPIRING, doc! { "user_id": 1, "expires_at": 1 })
            .only(doc! { "expires_at": { "$gt": BEGINNING } }),
        index(INBOXES, COLLAPSIBLE, doc! { "user_id": 1, "collapse_key": 1 })
            .only(doc! { "collapse_key": { "$gt": "" } }),
        index(INBOXES, DUE, doc! { "expires_at": 1 }).sparse(),
        index(INBOXES, DELETED, doc! { "deleted_at": 1 }).sparse(),
        index(INBOXES, STEPPED, doc! { "stepped_at": 1 }).sparse(),
        index(INBOXES, SEEN, doc! { "last_seen_at": 1 }).sparse(),
        index(REGISTRATIONS, OF_DEVICE, doc! { "user_id": 1, "device_id": 1, "at": 1 }),
        index(IDEMPOTENCY, AGE, doc! { "created_at": 1 }),
        index(REVOCATIONS, AGE, doc! { "at": 1 }),
    ]
}

/// Makes what is missing. An index of the same name that is another one is an error of the server's.
pub(crate) async fn create_indexes(db: &Database) -> Result<(), Failure> {
    for Index { collection, keys, options, .. } in indexes() {
        let model = IndexModel::builder().keys(keys).options(options).build();
        db.collection::<Document>(collection).create_index(model).await?;
    }
    // A transaction must not have to make a collection.
    let present = db.list_collection_names().await?;
    if !present.iter().any(|name| name == META) {
        match db.create_collection(META).await.map_err(Failure::from) {
            // Another node was first.
            Ok(()) | Err(Failure::Lasting(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// How a name is written in a query's `hint`.
pub(crate) fn hint(name: &str) -> mongodb::options::Hint {
    mongodb::options::Hint::Name(name.to_owned())
}

/// The indexes of a collection, by name.
#[cfg(test)]
pub(crate) fn names(collection: &str) -> Vec<String> {
    let of_it = indexes().into_iter().filter(|index| index.collection == collection);
    of_it.filter_map(|index| index.options.name).collect()
}
