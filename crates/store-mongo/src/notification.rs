use crate::documents::{INBOXES, Item, time, user, uuid};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::schema::ID;
use mongodb::bson::doc;
use serde::Deserialize;
use tidings_domain::{Notification, NotificationId, UserId};

/// One notification; `None` when unknown, deleted or expired. An id names no inbox, so every shard is asked.
pub(crate) async fn notification(mongo: &Mongo, id: NotificationId) -> Result<Option<Notification>, Failure> {
    let filter = doc! { "_id": uuid(id), "rev": { "$gt": 0 }, "deleted_at": null };
    let found: Option<Item> = Query::new(INBOXES, ID, filter).one(mongo).await?;
    let now = mongo.now();
    match found.filter(|item| item.expires_at.is_none_or(|at| time(at) > now)) {
        Some(item) => {
            let owner = user(&item.user_id)?;
            item.into_notification(&owner).map(Some)
        }
        None => Ok(None),
    }
}

#[derive(Deserialize)]
struct Owned {
    user_id: String,
}

/// In whose inbox a notification lies.
pub(crate) async fn owner(mongo: &Mongo, id: NotificationId) -> Result<Option<UserId>, Failure> {
    let query =
        Query::new(INBOXES, ID, doc! { "_id": uuid(id), "rev": { "$gt": 0 } }).fields(doc! { "user_id": 1 });
    query.one::<Owned>(mongo).await?.map(|owned| user(&owned.user_id)).transpose()
}
