use crate::documents::REGISTRATIONS;
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::writes::Writes;
use mongodb::bson::doc;
use tidings_domain::UserId;

/// A connection holds no registration of this user any more.
pub(crate) async fn forget_connection(mongo: &Mongo, user: &UserId, pid: &str) -> Result<(), Failure> {
    let mut writes = Writes::default();
    writes.delete(REGISTRATIONS, doc! { "q": { "_id": pid, "user_id": user.as_str() }, "limit": 1 });
    mongo.run_all(writes).await.map(drop)
}
