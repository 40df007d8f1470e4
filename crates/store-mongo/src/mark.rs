use crate::documents::{INBOXES, Item, bound};
use crate::draft::{Draft, Found, changes, reaches, wanted};
use crate::expire::expire;
use crate::failure::Failure;
use crate::operation::{Operation, Plan};
use crate::query::Query;
use crate::schema::{ID, LOG};
use crate::tx::Tx;
use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use std::collections::{HashMap, HashSet};
use tidings_domain::{Mark, MarkOp, MarkTarget, NotificationId, UserId};
use tidings_store::Marked;

/// Changes the state of many.
pub(crate) struct MarkMany {
    pub user: UserId,
    pub mark: Mark,
}

#[async_trait]
impl Operation for MarkMany {
    type Answer = Marked;

    fn users(&self) -> Vec<UserId> {
        vec![self.user.clone()]
    }

    async fn plan(&self, tx: &mut Tx<'_>) -> Result<Plan<Marked>, Failure> {
        let now = tx.mongo.now();
        let mut draft = Draft::new(self.user.clone(), tx.mongo.likely_head(&self.user).await?, now);
        expire(tx, &mut draft, now).await?;
        let Mark { op, target, category } = &self.mark;
        let (found, target) = match target {
            MarkTarget::Ids(ids) => {
                let found = self.named(tx, &draft, ids).await?;
                let target = Draft::ids(&found);
                (found, target)
            }
            MarkTarget::UpTo(up_to) => {
                let found = self.reached(tx, &draft, *up_to).await?;
                (found, MarkTarget::UpTo((*up_to).min(draft.head.rev)))
            }
        };
        if !found.is_empty() {
            draft.change(*op, &found, target, category.as_deref());
        }
        let marked = Marked { rev: draft.head.rev, changed: found.len() as u64, counts: draft.counts() };
        Ok(Plan::of(draft, marked))
    }
}

impl MarkMany {
    /// What every one that is changed meets.
    fn filter(&self, draft: &Draft) -> Document {
        let mut filter = doc! { "user_id": draft.user_id.as_str(), "rev": { "$gt": 0 }, "deleted_at": null };
        if let Some((field, condition)) = changes(self.mark.op) {
            filter.insert(field, condition);
        }
        if let Some(category) = &self.mark.category {
            filter.insert("category", category);
        }
        filter
    }

    /// The live ones of these in this inbox that change, each once, in the order given.
    async fn named(
        &self,
        tx: &mut Tx<'_>,
        draft: &Draft,
        ids: &[NotificationId],
    ) -> Result<Vec<Found>, Failure> {
        let mut filter = self.filter(draft);
        filter.insert("_id", doc! { "$in": wanted(ids) });
        let found: Vec<Found> = tx.all(Query::new(INBOXES, ID, filter).fields(Found::fields())).await?;
        let mut found: HashMap<NotificationId, Found> =
            found.into_iter().map(|one| (crate::documents::id(one.id), one)).collect();
        let mut live: Vec<Found> = ids.iter().filter_map(|id| found.remove(id)).collect();
        draft.leave_out_deleted(&mut live);
        Ok(live)
    }

    /// All that the operation reaches up to `up_to`.
    async fn reached(&self, tx: &mut Tx<'_>, draft: &Draft, up_to: u64) -> Result<Vec<Found>, Failure> {
        // How many can change at most is known from the numbers. The search goes from the newest down and ends with the
        // last of them, so that "mark all read" does not walk years of read ones.
        let counted = draft.head.counted;
        let at_most = match self.mark.op {
            MarkOp::Read => Some(counted.unread),
            MarkOp::Unread => Some(counted.total.saturating_sub(counted.unread)),
            MarkOp::Seen => Some(counted.unseen),
            MarkOp::Archive | MarkOp::Delete => Some(counted.total),
            MarkOp::Unarchive => None,
        };
        if at_most == Some(0) {
            return Ok(Vec::new());
        }
        let mut filter = self.filter(draft);
        filter.insert("archived_at", reaches(self.mark.op));
        filter.insert("key", doc! { "$gt": 0, "$lte": bound(up_to) });
        let mut query = Query::new(INBOXES, LOG, filter).fields(Found::fields()).sort(doc! { "key": -1 });
        if let Some(at_most) = at_most {
            // What expired just now is still found, and left out below.
            query = query.limit(bound(at_most + draft.deleted().count() as u64));
        }
        let mut found: Vec<Found> = tx.all(query).await?;
        draft.leave_out_deleted(&mut found);
        Ok(found)
    }
}

/// What an operation that names one notification knows of it.
pub(crate) async fn live_one(
    tx: &mut Tx<'_>,
    draft: &Draft,
    id: NotificationId,
) -> Result<Option<Item>, Failure> {
    let filter = doc! { "_id": crate::documents::uuid(id), "user_id": draft.user_id.as_str(), "rev": { "$gt": 0 }, "deleted_at": null };
    let found: Option<Item> = tx.one(Query::new(INBOXES, ID, filter)).await?;
    let deleted: HashSet<i64> = draft.deleted().collect();
    Ok(found.filter(|item| !deleted.contains(&item.key)))
}
