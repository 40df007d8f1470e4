use crate::acknowledge::standing;
use crate::counts;
use crate::documents::{INBOXES, Item, bound, number};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::schema::CHANGED;
use mongodb::bson::{Document, doc};
use tidings_domain::{Revision, UserId};
use tidings_store::{Changes, Resync, StoreError};

/// The inbox's log above `since`.
///
/// The head is read first, and what has come since is left out. Where this reaches the head, it must be whole: a device that
/// goes on from there hears of what changes after it by name only. A notification that was changed between the two reads has
/// moved above the head and may have been missed; so that is looked for afterwards, and if there is one all is read again.
/// Before the head there is no such need: what moves is still above the cursor, and comes with a later page.
///
/// The floor is read last: a tombstone that was removed before it could be read here raised the floor before.
pub(crate) async fn changes(
    mongo: &Mongo,
    user: &UserId,
    since: Revision,
    limit: usize,
) -> Result<Changes, Failure> {
    let head = mongo.head(user).await?;
    if since > head.rev {
        return Err(StoreError::ResyncRequired(Resync::AboveHead).into());
    }
    let counts = counts::at(mongo, user, &head, mongo.now()).await?;
    let (items, has_more) = if since < head.rev {
        read(mongo, user, since, head.rev, limit.max(1)).await?
    } else {
        (Vec::new(), false)
    };
    if !has_more && since < head.rev && has_moved(mongo, user, head.rev).await? {
        return Err(Failure::Conflict);
    }
    let (progress, _) = standing(mongo, user, None).await?;
    if since < number(progress.floor) {
        return Err(StoreError::ResyncRequired(Resync::BelowFloor).into());
    }
    let entries = items.into_iter().map(|item| item.into_entry(user)).collect::<Result<Vec<_>, _>>()?;
    let cursor = match entries.last() {
        Some(last) if has_more => last.rev(),
        _ => head.rev,
    };
    Ok(Changes { entries, cursor, head: head.rev, counts, has_more })
}

/// Whether something that was there at `head` has changed after it.
async fn has_moved(mongo: &Mongo, user: &UserId, head: Revision) -> Result<bool, Failure> {
    let filter = doc! {
        "user_id": user.as_str(), "rev": { "$gt": bound(head) }, "key": { "$gt": 0, "$lte": bound(head) },
    };
    let moved = Query::new(INBOXES, CHANGED, filter).fields(doc! { "_id": 1 }).one::<Document>(mongo).await?;
    Ok(moved.is_some())
}

/// Whole revisions above `since` and up to `head`, about `limit` items; and whether there are more.
async fn read(
    mongo: &Mongo,
    user: &UserId,
    since: Revision,
    head: Revision,
    limit: usize,
) -> Result<(Vec<Item>, bool), Failure> {
    let between = |above: i64, up_to: i64| -> Document {
        doc! { "user_id": user.as_str(), "rev": { "$gt": above, "$lte": up_to } }
    };
    let log = |filter| Query::new(INBOXES, CHANGED, filter).sort(doc! { "rev": 1 });
    let one_more = bound(limit as u64).saturating_add(1);
    let mut items: Vec<Item> = log(between(bound(since), bound(head))).limit(one_more).all(mongo).await?;
    let mut has_more = items.len() > limit;
    if has_more {
        let last = items[limit - 1].rev;
        if items[limit].rev == last {
            // A revision is never cut.
            items.retain(|item| item.rev < last);
            items.extend(log(between(last - 1, last)).all::<Item>(mongo).await?);
            has_more = log(between(last, bound(head))).one::<Item>(mongo).await?.is_some();
        } else {
            items.truncate(limit);
        }
    }
    items.sort_by_key(|item| (item.rev, item.key));
    Ok((items, has_more))
}
