use crate::acknowledge::standing;
use crate::counts;
use crate::documents::{INBOXES, Item, between, bound, number};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::schema::{CHANGED, LOG};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use tidings_domain::{Revision, UserId};
use tidings_store::{Changes, ChangesQuery, Gather, Inside, Resync, StoreError};

/// The inbox's log above `since`.
///
/// The head is read first, and what has come since is left out. Where this reaches the head, it must be whole: a device that
/// goes on from there hears of what changes after it by name only. A notification that was changed between the two reads has
/// moved above the head and may have been missed; so that is looked for afterwards, and if there is one all is read again.
/// Before the head there is no such need: what moves is still above the cursor, and comes with a later page.
///
/// The floor is read last: a tombstone that was removed before it could be read here raised the floor before.
pub(crate) async fn changes(mongo: &Mongo, user: &UserId, query: ChangesQuery) -> Result<Changes, Failure> {
    let head = mongo.head(user).await?;
    if query.since > head.rev || query.inside.is_some_and(|inside| inside.rev > head.rev) {
        return Err(StoreError::ResyncRequired(Resync::AboveHead).into());
    }
    let counts = counts::at(mongo, user, &head, mongo.now()).await?;
    let mut page = Gather::new(query);
    if query.since < head.rev {
        read(mongo, user, query, head.rev, &mut page).await?;
    }
    let (entries, cursor, next) = page.finish(head.rev);
    if cursor == head.rev && query.since < head.rev && has_moved(mongo, user, head.rev).await? {
        return Err(Failure::Conflict);
    }
    let (progress, _) = standing(mongo, user, None).await?;
    if query.since < number(progress.floor) {
        return Err(StoreError::ResyncRequired(Resync::BelowFloor).into());
    }
    Ok(Changes { has_more: cursor < head.rev, entries, cursor, next, head: head.rev, counts })
}

/// Whether something that was there at `head` has changed after it.
async fn has_moved(mongo: &Mongo, user: &UserId, head: Revision) -> Result<bool, Failure> {
    let filter = doc! {
        "user_id": user.as_str(), "rev": { "$gt": bound(head) }, "key": { "$gt": 0, "$lte": bound(head) },
    };
    let moved = Query::new(INBOXES, CHANGED, filter)
        .along_the_index()
        .fields(doc! { "_id": 1 })
        .one::<Document>(mongo)
        .await?;
    Ok(moved.is_some())
}

/// How many documents the server sends at once: a page ends early where they are large.
const BATCH: u32 = 64;

/// What lies above the cursor and up to `head`, or the rest of one revision, until the page is full.
async fn read(
    mongo: &Mongo,
    user: &UserId,
    query: ChangesQuery,
    head: Revision,
    page: &mut Gather,
) -> Result<(), Failure> {
    let filter = match query.inside {
        None => {
            doc! { "user_id": user.as_str(), "rev": between(query.since, head) }
        }
        Some(Inside { rev, seq }) => {
            doc! { "user_id": user.as_str(), "rev": bound(rev), "key": { "$gt": bound(seq) } }
        }
    };
    let log = Query::new(INBOXES, CHANGED, filter).along_the_index().sort(doc! { "rev": 1, "key": 1 });
    let mut items = log.stream::<Item>(mongo, BATCH).await?;
    while let Some(item) = items.try_next().await? {
        if !page.take(item.into_entry(user)?) {
            break;
        }
    }
    Ok(())
}

/// What was created above `since` and up to `up_to` and has changed above that.
pub(crate) async fn moved(
    mongo: &Mongo,
    user: &UserId,
    since: Revision,
    up_to: Revision,
) -> Result<Vec<Revision>, Failure> {
    #[derive(Deserialize)]
    struct Key {
        key: i64,
    }
    let filter = doc! {
        "user_id": user.as_str(), "key": { "$gt": bound(since), "$lte": bound(up_to) },
        "rev": { "$gt": bound(up_to) }, "deleted_at": null,
    };
    let keys: Vec<Key> = Query::new(INBOXES, LOG, filter)
        .fields(doc! { "_id": 0, "key": 1 })
        .sort(doc! { "key": 1 })
        .limit(10_000)
        .all(mongo)
        .await?;
    Ok(keys.into_iter().map(|found| number(found.key)).collect())
}
