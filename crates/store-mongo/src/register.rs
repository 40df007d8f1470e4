use crate::documents::{
    DeviceDocument, INBOXES, REGISTRATIONS, RegistrationDocument, bound, date, device, device_key, user,
};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::schema::{ID, LOG, OF_DEVICE};
use crate::writes::Writes;
use mongodb::bson::doc;
use serde::Deserialize;
use tidings_domain::{DeviceId, UserId};
use tidings_store::Registration;

/// How many devices of one user are known; past that the one longest unseen is forgotten.
pub(crate) const DEVICES: usize = 1_000;

/// How many connections of one device are known. A page makes a new one at each load, and of two open pages each needs
/// its own; nobody has this many open.
const CONNECTIONS: usize = 16;

/// Makes a device known, or touches it, and remembers which connection holds it.
pub(crate) async fn register(
    mongo: &Mongo,
    user: &UserId,
    registration: &Registration,
) -> Result<(), Failure> {
    let Registration { device_id, pid, start, transport } = registration;
    let now = date(mongo.now());
    // Nobody can start above the head: what comes next would be taken as known.
    let head = match mongo.heads.get(user) {
        Some(head) if head.rev >= *start && head.rev > 0 => head.rev,
        // Of an inbox that had nothing, another node may know better.
        _ => mongo.head(user).await?.rev,
    };
    if head == 0 {
        mongo.visitors.attached(user, device_id, transport, mongo.now());
        if mongo.heads.get(user).is_none_or(|head| head.rev == 0) {
            return visit(mongo, user, registration).await;
        }
        // Something was written meanwhile, perhaps before this device was noted.
    }
    let mut writes = Writes::default();
    writes.update(
        INBOXES,
        doc! {
            "q": { "user_id": user.as_str(), "key": device_key(device_id.as_str()) },
            "u": {
                "$set": { "last_seen_at": now, "transport": *transport },
                "$setOnInsert": { "device_id": device_id.as_str(), "cursor": bound((*start).min(head)) },
            },
            "upsert": true
        },
    );
    if mongo.run_all(writes).await? {
        trim_devices(mongo, user).await?;
    }
    let Some(pid) = pid else { return Ok(()) };
    let mut writes = Writes::default();
    writes.update(
        REGISTRATIONS,
        doc! {
            "q": { "_id": pid },
            "u": {
                "$set": { "user_id": user.as_str(), "device_id": device_id.as_str(), "at": now },
                "$unset": { "visited_at": "" },
            },
            "upsert": true
        },
    );
    if mongo.run_all(writes).await? {
        trim_connections(mongo, user, device_id, pid).await?;
    }
    Ok(())
}

/// Remembers which connection holds a device of an inbox that has nothing.
async fn visit(mongo: &Mongo, user: &UserId, registration: &Registration) -> Result<(), Failure> {
    let Registration { device_id, pid, .. } = registration;
    let Some(pid) = pid else { return Ok(()) };
    let now = date(mongo.now());
    let mut writes = Writes::default();
    writes.update(
        REGISTRATIONS,
        doc! {
            "q": { "_id": pid },
            "u": { "$set": {
                "user_id": user.as_str(), "device_id": device_id.as_str(), "at": now, "visited_at": now,
            } },
            "upsert": true
        },
    );
    if mongo.run_all(writes).await? {
        trim_connections(mongo, user, device_id, pid).await?;
        crate::visit::trim(mongo, user, pid).await?;
    }
    Ok(())
}

/// Keeps how far a known device's resume has come, beside its cursor.
pub(crate) async fn note_resume(
    mongo: &Mongo,
    user: &UserId,
    device_id: &DeviceId,
    note: &str,
) -> Result<(), Failure> {
    let mut writes = Writes::default();
    writes.update(
        INBOXES,
        doc! {
            "q": { "user_id": user.as_str(), "key": device_key(device_id.as_str()) },
            "u": { "$set": { "resume": note } },
        },
    );
    mongo.run_all(writes).await.map(drop)
}

/// A device was made: forgets those longest unseen, past the bound.
pub(crate) async fn trim_devices(mongo: &Mongo, user: &UserId) -> Result<(), Failure> {
    if !mongo.confirmed.should_count(user) {
        return Ok(());
    }
    let mut all: Vec<DeviceDocument> = Query::new(INBOXES, LOG, devices_of(user)).all(mongo).await?;
    mongo.confirmed.counted(user, all.len());
    if all.len() <= DEVICES {
        return Ok(());
    }
    all.sort_unstable_by(|one, other| {
        (other.last_seen_at, &other.device_id).cmp(&(one.last_seen_at, &one.device_id))
    });
    for device in all.iter().skip(DEVICES) {
        forget(mongo, user.as_str(), &device.device_id).await?;
    }
    mongo.confirmed.forget(user);
    Ok(())
}

/// The keys of a user's devices.
pub(crate) fn devices_of(user: &UserId) -> mongodb::bson::Document {
    // ';' follows ':'.
    doc! { "user_id": user.as_str(), "key": { "$gte": "device:", "$lt": "device;" } }
}

/// A device is no longer known, nor are its connections.
pub(crate) async fn forget(mongo: &Mongo, user: &str, device: &str) -> Result<(), Failure> {
    let mut writes = Writes::default();
    writes.delete(REGISTRATIONS, doc! { "q": { "user_id": user, "device_id": device }, "limit": 0 });
    writes.delete(INBOXES, doc! { "q": { "user_id": user, "key": device_key(device) }, "limit": 1 });
    mongo.run_all(writes).await.map(drop)
}

#[derive(Deserialize)]
struct Connection {
    #[serde(rename = "_id")]
    pid: String,
}

async fn trim_connections(
    mongo: &Mongo,
    user: &UserId,
    device_id: &DeviceId,
    newest: &str,
) -> Result<(), Failure> {
    let filter = doc! { "user_id": user.as_str(), "device_id": device_id.as_str() };
    let all: Vec<Connection> =
        Query::new(REGISTRATIONS, OF_DEVICE, filter).sort(doc! { "at": -1 }).all(mongo).await?;
    let mut writes = Writes::default();
    for one in all.iter().filter(|one| one.pid != newest).skip(CONNECTIONS - 1) {
        writes.delete(REGISTRATIONS, doc! { "q": { "_id": &one.pid }, "limit": 1 });
    }
    mongo.run_all(writes).await.map(drop)
}

/// Who holds a connection.
pub(crate) async fn registration(mongo: &Mongo, pid: &str) -> Result<Option<(UserId, DeviceId)>, Failure> {
    let found = Query::new(REGISTRATIONS, ID, doc! { "_id": pid }).one::<RegistrationDocument>(mongo).await?;
    found.map(|found| Ok((user(&found.user_id)?, device(&found.device_id)?))).transpose()
}
