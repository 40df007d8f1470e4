use crate::acknowledge::standing;
use crate::counts;
use crate::documents::{INBOXES, Item, bound, date, number};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::schema::LOG;
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, bson, doc};
use tidings_domain::{Notification, UserId};
use tidings_store::{ArchivedFilter, InboxPage, InboxQuery, Range, StatusFilter};

/// How many documents the server sends at once: a page ends early where they are large.
const BATCH: u32 = 64;

/// A page of an inbox, newest first. What came after its head was read is left out, so that the two belong together.
pub(crate) async fn inbox(mongo: &Mongo, user: &UserId, query: &InboxQuery) -> Result<InboxPage, Failure> {
    let now = mongo.now();
    let (progress, _) = standing(mongo, user, None).await?;
    let head = mongo.head(user).await?;
    let counts = counts::at(mongo, user, &head, now).await?;

    let present = || bson!({ "$ne": null });
    let mut keys = doc! { "$gt": 0_i64, "$lte": bound(head.rev) };
    match query.range {
        Range::Newest => {}
        Range::Before(seq) => {
            keys.insert("$lt", bound(seq));
        }
        Range::After(seq) => {
            keys.insert("$gt", bound(seq));
        }
    }
    let mut filter = doc! {
        "user_id": user.as_str(), "key": keys, "rev": { "$gt": 0 }, "deleted_at": null,
        "$or": [{ "expires_at": null }, { "expires_at": { "$gt": date(now) } }],
    };
    match query.status {
        StatusFilter::All => {}
        StatusFilter::Unread => drop(filter.insert("read_at", Bson::Null)),
        StatusFilter::Read => drop(filter.insert("read_at", present())),
        StatusFilter::Unseen => drop(filter.insert("seen_at", Bson::Null)),
    }
    match query.archived {
        ArchivedFilter::Exclude => drop(filter.insert("archived_at", Bson::Null)),
        ArchivedFilter::Include => {}
        ArchivedFilter::Only => drop(filter.insert("archived_at", present())),
    }
    if let Some(category) = &query.category {
        filter.insert("category", category);
    }
    let newer = matches!(query.range, Range::After(_));
    let limit = query.limit.max(1);
    let mut found = Query::new(INBOXES, LOG, filter)
        .sort(doc! { "key": if newer { 1 } else { -1 } })
        .limit(bound(limit as u64).saturating_add(1))
        .stream::<Item>(mongo, BATCH)
        .await?;
    let (mut notifications, mut bytes, mut has_more) = (Vec::<Notification>::new(), 0, false);
    while let Some(item) = found.try_next().await? {
        if notifications.len() >= limit || bytes >= query.bytes.max(1) {
            has_more = true;
            break;
        }
        let notification = item.into_notification(user)?;
        bytes += notification.wire_size();
        notifications.push(notification);
    }
    if newer {
        notifications.reverse();
    }
    Ok(InboxPage { notifications, counts, head: head.rev, floor: number(progress.floor), has_more })
}
