use crate::documents::{INBOXES, bound};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::schema::CHANGED;
use mongodb::bson::doc;
use tidings_domain::{Revision, UserId};

/// How many notifications have a revision above `since`; stops counting at `cap`.
pub(crate) async fn behind(mongo: &Mongo, user: &UserId, since: Revision, cap: u64) -> Result<u64, Failure> {
    let filter = doc! { "user_id": user.as_str(), "rev": { "$gt": bound(since) } };
    if cap == 0 {
        return Ok(0);
    }
    Query::new(INBOXES, CHANGED, filter).count(mongo, cap).await
}
