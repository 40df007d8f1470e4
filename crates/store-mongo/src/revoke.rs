use crate::documents::{REVOCATIONS, date, time};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::schema::ID;
use crate::writes::Writes;
use mongodb::bson::{DateTime, doc};
use serde::Deserialize;
use tidings_domain::{Timestamp, UserId};

/// The user's sessions end at `at`; a smaller one than before changes nothing. No upkeep removes it: nothing
/// bounds how long a token is valid.
pub(crate) async fn revoke(mongo: &Mongo, user: &UserId, at: Timestamp) -> Result<(), Failure> {
    let mut writes = Writes::default();
    writes.update(
        REVOCATIONS,
        doc! { "q": { "_id": user.as_str() }, "u": { "$max": { "at": date(at) } }, "upsert": true },
    );
    mongo.run_all(writes).await.map(drop)
}

/// Ends that lie ahead move back. Of all users only at a node's start: no index leads to them.
pub(crate) async fn pull_back(
    mongo: &Mongo,
    user: Option<&UserId>,
    ahead_of: Timestamp,
    to: Timestamp,
) -> Result<(), Failure> {
    let mut which = doc! { "at": { "$gt": date(ahead_of) } };
    if let Some(user) = user {
        which.insert("_id", user.as_str());
    }
    let mut writes = Writes::default();
    let update = doc! { "q": which, "u": { "$set": { "at": date(to) } }, "multi": user.is_none() };
    writes.update(REVOCATIONS, update);
    mongo.run_all(writes).await.map(drop)
}

#[derive(Deserialize)]
struct Revoked {
    at: DateTime,
}

/// When the user's sessions were last ended.
pub(crate) async fn revoked_at(mongo: &Mongo, user: &UserId) -> Result<Option<Timestamp>, Failure> {
    let found: Option<Revoked> =
        Query::new(REVOCATIONS, ID, doc! { "_id": user.as_str() }).one(mongo).await?;
    Ok(found.map(|revoked| time(revoked.at)))
}
