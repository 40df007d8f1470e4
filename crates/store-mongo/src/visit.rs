//! Devices that attach to an inbox that has nothing. [`Visitors`](tidings_store::Visitors) says why nothing of them is stored
//! but the registrations of their connections. Those have `visited_at`, by which upkeep finds them, until there is an inbox.

use crate::documents::{INBOXES, REGISTRATIONS, date, device_key};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::register::DEVICES;
use crate::schema::{ID, OF_DEVICE};
use crate::writes::Writes;
use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;
use tidings_domain::UserId;

#[derive(Deserialize)]
struct Connection {
    #[serde(rename = "_id")]
    pid: String,
    user_id: String,
    device_id: String,
    #[serde(default)]
    visited_at: Option<DateTime>,
}

async fn connections(mongo: &Mongo, users: &[UserId]) -> Result<Vec<Connection>, Failure> {
    let names: Vec<&str> = users.iter().map(UserId::as_str).collect();
    let query = Query::new(REGISTRATIONS, OF_DEVICE, doc! { "user_id": { "$in": names } });
    query.fields(doc! { "user_id": 1, "device_id": 1, "visited_at": 1 }).all(mongo).await
}

/// A connection was made to an inbox that has nothing: there no device bounds how many a user has.
pub(crate) async fn trim(mongo: &Mongo, user: &UserId, newest: &str) -> Result<(), Failure> {
    let mut all = connections(mongo, std::slice::from_ref(user)).await?;
    all.sort_unstable_by(|one, other| (other.visited_at, &other.pid).cmp(&(one.visited_at, &one.pid)));
    let mut writes = Writes::unordered();
    for one in all.iter().filter(|one| one.pid != newest).skip(DEVICES - 1) {
        writes.delete(REGISTRATIONS, ID.for_statement(doc! { "q": { "_id": &one.pid }, "limit": 1 }));
    }
    mongo.run_all(writes).await.map(drop)
}

/// These inboxes have something: those who attached before are their devices, which started at 0.
pub(crate) async fn settle(mongo: &Mongo, users: &[UserId]) -> Result<(), Failure> {
    if users.is_empty() {
        return Ok(());
    }
    let mut writes = Writes::unordered();
    for user in users {
        for device in mongo.visitors.of(user) {
            let seen = date(device.last_seen_at);
            writes.update(
                INBOXES,
                admission(user.as_str(), device.device_id.as_str(), seen, &device.transport),
            );
        }
    }
    // Those are not remembered any more where this node was started since, or attached at another one.
    for one in connections(mongo, users).await? {
        let Some(seen) = one.visited_at else { continue };
        writes.update(INBOXES, admission(&one.user_id, &one.device_id, seen, "websocket"));
        let stays = doc! { "q": { "_id": &one.pid }, "u": { "$unset": { "visited_at": "" } } };
        writes.update(REGISTRATIONS, ID.for_statement(stays));
    }
    mongo.run_all(writes).await?;
    users.iter().for_each(|user| mongo.visitors.settled(user));
    Ok(())
}

/// Makes a device where it is not known yet.
fn admission(user: &str, device: &str, seen: DateTime, transport: &str) -> Document {
    doc! {
        "q": { "user_id": user, "key": device_key(device) },
        "u": { "$setOnInsert": {
            "device_id": device, "cursor": 0_i64, "last_seen_at": seen, "transport": transport,
        } },
        "upsert": true
    }
}

/// After a write of this node, for the inboxes that it began. What fails here is done when the inbox is next read.
pub(crate) async fn settle_begun(mongo: &Mongo, users: &[UserId]) {
    if let Err(failure) = settle(mongo, users).await {
        let error = failure.into_store_error();
        tracing::warn!(%error, "devices of inboxes that had nothing could not be stored");
    }
}
