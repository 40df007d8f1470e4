use crate::documents::{INBOXES, Item, date, time};
use crate::draft::{Draft, Found};
use crate::failure::Failure;
use crate::operation::{Operation, Plan};
use crate::query::Query;
use crate::schema::{BEGINNING, EXPIRING};
use crate::tx::Tx;
use async_trait::async_trait;
use mongodb::bson::doc;
use tidings_domain::{MarkOp, Timestamp, UserId};

/// Deletes what is due in this inbox, as one revision. Every change of an inbox does this first, so that the numbers it
/// announces are exact and no change reaches what has vanished. Returns how many it were.
pub(crate) async fn expire(tx: &mut Tx<'_>, draft: &mut Draft, now: Timestamp) -> Result<u64, Failure> {
    if !draft.head.is_due(now) {
        return Ok(0);
    }
    let user = draft.user_id.as_str().to_owned();
    let gone = doc! { "user_id": &user, "expires_at": { "$gt": BEGINNING, "$lte": date(now) } };
    let mut due: Vec<Found> = tx.all(Query::new(INBOXES, EXPIRING, gone).fields(Found::fields())).await?;
    let later = doc! { "user_id": &user, "expires_at": { "$gt": date(now) } };
    let next: Option<Item> =
        tx.one(Query::new(INBOXES, EXPIRING, later).sort(doc! { "expires_at": 1 })).await?;
    let next = next.and_then(|item| item.expires_at.map(time));
    draft.leave_out_deleted(&mut due);
    due.extend(draft.find_new(|item| item.expires_at.is_some_and(|at| time(at) <= now)));
    draft.head.next_expiry = next.into_iter().chain(draft.next_expiry_of_new()).min();
    draft.is_swept();
    if due.is_empty() {
        return Ok(0);
    }
    let ids = Draft::ids(&due);
    draft.change(MarkOp::Delete, &due, ids, None);
    Ok(due.len() as u64)
}

/// Deletes what is due in one inbox, for upkeep and for those who want to write simply.
pub(crate) struct Expire {
    pub user: UserId,
}

#[async_trait]
impl Operation for Expire {
    /// How many it were.
    type Answer = u64;

    fn users(&self) -> Vec<UserId> {
        vec![self.user.clone()]
    }

    async fn plan(&self, tx: &mut Tx<'_>) -> Result<Plan<u64>, Failure> {
        let now = tx.mongo.now();
        let mut draft = Draft::new(self.user.clone(), tx.mongo.likely_head(&self.user).await?, now);
        let expired = expire(tx, &mut draft, now).await?;
        Ok(Plan::of(draft, expired))
    }
}
