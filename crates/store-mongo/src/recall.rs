use crate::draft::{Draft, Found};
use crate::expire::expire;
use crate::failure::Failure;
use crate::mark::live_one;
use crate::operation::{Operation, Plan};
use crate::tx::Tx;
use async_trait::async_trait;
use mongodb::bson::doc;
use tidings_domain::{MarkOp, NotificationId, UserId};

/// Deletes one from every device.
pub(crate) struct Recall {
    pub user: UserId,
    pub id: NotificationId,
}

#[async_trait]
impl Operation for Recall {
    type Answer = bool;

    fn users(&self) -> Vec<UserId> {
        vec![self.user.clone()]
    }

    async fn plan(&self, tx: &mut Tx<'_>) -> Result<Plan<bool>, Failure> {
        let now = tx.mongo.now();
        let mut draft = Draft::new(self.user.clone(), tx.mongo.likely_head(&self.user).await?, now);
        expire(tx, &mut draft, now).await?;
        let Some(item) = live_one(tx, &draft, self.id).await? else { return Ok(Plan::of(draft, false)) };
        let found = [Found::of(&item)];
        draft.change(MarkOp::Delete, &found, Draft::ids(&found), None);
        // Who recalls a text wants it gone. Its id stays for the devices, until retention removes the tombstone.
        draft.update(
            &[item.key],
            doc! { "$unset": {
                "title": "", "message": "", "data": "", "category": "", "url": "", "avatar": "", "actions": "",
            } },
        );
        Ok(Plan::of(draft, true))
    }
}
