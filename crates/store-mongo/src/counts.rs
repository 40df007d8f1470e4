use crate::documents::{Head, INBOXES, date};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::schema::{BEGINNING, EXPIRING, Index, LOG};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::Hint;
use serde::Deserialize;
use tidings_domain::{Counts, Timestamp, UserId};

/// The inbox's numbers, of one category or of all.
///
/// All: those beside its newest revision. One category: counted.
pub(crate) async fn counts(mongo: &Mongo, user: &UserId, category: Option<&str>) -> Result<Counts, Failure> {
    let now = mongo.now();
    match category {
        None => at(mongo, user, &mongo.head(user).await?, now).await,
        Some(category) => {
            let filter = doc! {
                "user_id": user.as_str(), "key": { "$gt": 0 }, "category": category,
                "deleted_at": null, "archived_at": null,
                "$or": [{ "expires_at": null }, { "expires_at": { "$gt": date(now) } }],
            };
            count(mongo, filter, LOG).await
        }
    }
}

/// The numbers beside a revision, less what is due to expire and not swept yet.
pub(crate) async fn at(mongo: &Mongo, user: &UserId, head: &Head, now: Timestamp) -> Result<Counts, Failure> {
    if !head.is_due(now) {
        return Ok(head.counted);
    }
    let filter = doc! {
        "user_id": user.as_str(), "expires_at": { "$gt": BEGINNING, "$lte": date(now) }, "archived_at": null,
    };
    let due = count(mongo, filter, EXPIRING).await?;
    Ok(Counts {
        total: head.counted.total.saturating_sub(due.total),
        unread: head.counted.unread.saturating_sub(due.unread),
        unseen: head.counted.unseen.saturating_sub(due.unseen),
    })
}

#[derive(Deserialize)]
struct Counted {
    total: i64,
    unread: i64,
    unseen: i64,
}

async fn count(mongo: &Mongo, filter: Document, index: Index) -> Result<Counts, Failure> {
    mongo.note(
        || doc! { "find": INBOXES, "filter": filter.clone(), "hint": index.name(), "index": index.name() },
    );
    let absent = |field: &str| doc! { "$sum": { "$cond": [{ "$ifNull": [field, false] }, 0_i64, 1_i64] } };
    let pipeline = vec![
        doc! { "$match": filter },
        doc! { "$group": {
            "_id": null, "total": { "$sum": 1_i64 }, "unread": absent("$read_at"), "unseen": absent("$seen_at"),
        } },
    ];
    let found: Option<Counted> = mongo
        .db
        .collection::<Document>(INBOXES)
        .aggregate(pipeline)
        .hint(Hint::Name(index.name().to_owned()))
        .with_type::<Counted>()
        .await?
        .try_next()
        .await?;
    let number = crate::documents::number;
    Ok(found.map_or_else(Counts::default, |found| Counts {
        total: number(found.total),
        unread: number(found.unread),
        unseen: number(found.unseen),
    }))
}
