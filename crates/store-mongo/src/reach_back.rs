use crate::acknowledge::standing;
use crate::documents::{INBOXES, number};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::schema::CHANGED;
use mongodb::bson::doc;
use serde::Deserialize;
use tidings_domain::{Revision, UserId};

#[derive(Deserialize)]
struct Rev {
    rev: i64,
}

/// The smallest cursor above which at most `reach` notifications lie: the revision of the one after them, counted from
/// the newest revision down.
pub(crate) async fn reach_back(mongo: &Mongo, user: &UserId, reach: u64) -> Result<Revision, Failure> {
    let filter = doc! { "user_id": user.as_str(), "rev": { "$gt": 0 } };
    let found: Option<Rev> = Query::new(INBOXES, CHANGED, filter)
        .fields(doc! { "_id": 0, "rev": 1 })
        .sort(doc! { "rev": -1 })
        .skip(reach)
        .one(mongo)
        .await?;
    let (progress, _) = standing(mongo, user, None).await?;
    Ok(found.map_or(0, |found| number(found.rev)).max(number(progress.floor)))
}
