//! The collections' indexes. They are made at the start, and every query names the one that it needs. Where a filter says
//! more than the index does, a planner would have a choice, so there the name is given as a hint: a missing index is then an
//! error, not a slow query. A test lets the server explain every query.

use crate::documents::{IDEMPOTENCY, INBOXES, META, REGISTRATIONS};
use crate::failure::Failure;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Database, IndexModel};

/// An index, and the fields that it is of, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Index {
    name: &'static str,
    fields: &'static [&'static str],
}

/// Every document by its id.
pub(crate) const ID: Index = Index { name: "_id_", fields: &["_id"] };
/// An inbox's documents by key. Unique: it is what orders the writers.
pub(crate) const LOG: Index = Index { name: "log", fields: &["user_id", "key"] };
/// An inbox's notifications by revision, within one in the order in which they were created.
pub(crate) const CHANGED: Index = Index { name: "log_by_revision", fields: &["user_id", "rev", "key"] };
/// What [`CHANGED`] replaced: it did not order what one revision changed.
const REPLACED: &str = "changed";
/// An inbox's notifications that will expire.
pub(crate) const EXPIRING: Index = Index { name: "expiring", fields: &["user_id", "expires_at"] };
/// An inbox's notifications that may be replaced.
pub(crate) const COLLAPSIBLE: Index = Index { name: "collapsible", fields: &["user_id", "collapse_key"] };
/// What is due to expire, in all inboxes.
pub(crate) const DUE: Index = Index { name: "due", fields: &["expires_at"] };
/// Tombstones, in all inboxes, oldest first.
pub(crate) const DELETED: Index = Index { name: "deleted", fields: &["deleted_at"] };
/// Revisions that are not new notifications, in all inboxes, oldest first.
pub(crate) const STEPPED: Index = Index { name: "stepped", fields: &["stepped_at"] };
/// Devices, in all inboxes, longest unseen first.
pub(crate) const SEEN: Index = Index { name: "seen", fields: &["last_seen_at"] };
/// Registrations by device.
pub(crate) const OF_DEVICE: Index = Index { name: "of_device", fields: &["user_id", "device_id", "at"] };
/// Registrations at inboxes that have nothing, by age.
pub(crate) const VISITED: Index = Index { name: "visited", fields: &["visited_at"] };
/// Idempotency keys by age.
pub(crate) const KEY_AGE: Index = Index { name: "age", fields: &["created_at"] };

impl Index {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What a server is told to use for this filter: nothing, where it says no more than the index does.
    pub(crate) fn hint(&self, filter: &Document) -> Option<&'static str> {
        (!filter.keys().all(|field| self.fields.contains(&field.as_str()))).then_some(self.name)
    }

    /// An update or delete statement (`q` is its filter), with the hint that it needs.
    pub(crate) fn for_statement(&self, mut statement: Document) -> Document {
        let hint = statement.get_document("q").ok().and_then(|filter| self.hint(filter));
        if let Some(hint) = hint {
            statement.insert("hint", hint);
        }
        statement
    }
}

/// The layout that this program writes.
pub(crate) const VERSION: i32 = 1;

struct Made {
    collection: &'static str,
    index: Index,
    options: IndexOptions,
}

impl Index {
    fn of(self, collection: &'static str) -> Made {
        let options = IndexOptions::builder().name(self.name.to_owned()).build();
        Made { collection, index: self, options }
    }
}

impl Made {
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

fn indexes() -> Vec<Made> {
    vec![
        LOG.of(INBOXES).unique(),
        CHANGED.of(INBOXES),
        EXPIRING.of(INBOXES).only(doc! { "expires_at": { "$gt": BEGINNING } }),
        COLLAPSIBLE.of(INBOXES).only(doc! { "collapse_key": { "$gt": "" } }),
        DUE.of(INBOXES).sparse(),
        DELETED.of(INBOXES).sparse(),
        STEPPED.of(INBOXES).sparse(),
        SEEN.of(INBOXES).sparse(),
        OF_DEVICE.of(REGISTRATIONS),
        VISITED.of(REGISTRATIONS).sparse(),
        KEY_AGE.of(IDEMPOTENCY),
    ]
}

/// Makes what is missing. An index of the same name that is another one is an error of the server's.
pub(crate) async fn create_indexes(db: &Database) -> Result<(), Failure> {
    for Made { collection, index, options } in indexes() {
        let keys: Document = index.fields.iter().map(|field| ((*field).to_owned(), 1.into())).collect();
        let model = IndexModel::builder().keys(keys).options(options).build();
        db.collection::<Document>(collection).create_index(model).await?;
    }
    let inboxes = db.collection::<Document>(INBOXES);
    if inboxes.list_index_names().await?.iter().any(|name| name == REPLACED) {
        match inboxes.drop_index(REPLACED).await.map_err(Failure::from) {
            // Another node was first.
            Ok(()) | Err(Failure::Lasting(_)) => {}
            Err(failure) => return Err(failure),
        }
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

/// The indexes of a collection, by name.
#[cfg(test)]
pub(crate) fn names(collection: &str) -> Vec<String> {
    let of_it = indexes().into_iter().filter(|made| made.collection == collection);
    of_it.map(|made| made.index.name.to_owned()).collect()
}
