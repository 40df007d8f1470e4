use crate::documents::{bound, date};
use crate::draft::{Draft, Found};
use crate::expire::expire;
use crate::failure::Failure;
use crate::mark::live_one;
use crate::operation::{Operation, Plan};
use crate::tx::Tx;
use async_trait::async_trait;
use mongodb::bson::{Bson, Document, doc, serialize_to_bson};
use tidings_domain::{Content, Kind, Notification, NotificationId, UserId};
use tidings_store::Edit;

/// Edits in place.
pub(crate) struct EditOne {
    pub user: UserId,
    pub id: NotificationId,
    pub edit: Edit,
}

#[async_trait]
impl Operation for EditOne {
    type Answer = Option<Notification>;

    fn users(&self) -> Vec<UserId> {
        vec![self.user.clone()]
    }

    async fn plan(&self, tx: &mut Tx<'_>) -> Result<Plan<Option<Notification>>, Failure> {
        let now = tx.mongo.now();
        let mut draft = Draft::new(self.user.clone(), tx.mongo.likely_head(&self.user).await?, now);
        expire(tx, &mut draft, now).await?;
        let Some(item) = live_one(tx, &draft, self.id).await? else { return Ok(Plan::of(draft, None)) };
        let (key, found) = (item.key, Found::of(&item));
        let mut notification = item.into_notification(&self.user)?;
        let (content, reworded) = self.edit.apply(&notification.content);
        let expires_at = self.edit.expires_at.unwrap_or(notification.expires_at);
        if !reworded && expires_at == notification.expires_at {
            return Ok(Plan::of(draft, Some(notification)));
        }
        notification.rev = draft.step("edit");
        let mut change = Fields::default();
        change.set("rev", bound(notification.rev));
        change.put("expires_at", expires_at.map(date));
        notification.expires_at = expires_at;
        if reworded {
            let Notification { state, timestamp, edited_at, .. } = &notification;
            let moment = state.moment(now, *timestamp, *edited_at);
            notification.edited_at = Some(moment);
            change.set("edited_at", date(moment));
            change.content(&content)?;
            notification.content = content;
        }
        draft.update(&[key], change.into_document());
        if !found.is_archived() {
            draft.expects(expires_at, found.weight());
        } else {
            draft.head.expects(expires_at);
        }
        draft.announce(Kind::Edited(Box::new(notification.clone())));
        Ok(Plan::of(draft, Some(notification)))
    }
}

/// What an update sets, and what it removes.
#[derive(Default)]
struct Fields {
    set: Document,
    unset: Document,
}

impl Fields {
    fn set(&mut self, field: &str, value: impl Into<Bson>) {
        self.set.insert(field, value);
    }

    /// Sets what is there, removes what is not: an absent field lies in no sparse index.
    fn put(&mut self, field: &str, value: Option<impl Into<Bson>>) {
        match value {
            Some(value) => self.set(field, value),
            None => {
                self.unset.insert(field, "");
            }
        }
    }

    fn content(&mut self, content: &Content) -> Result<(), Failure> {
        let Content { title, message, data, category, priority, url, avatar, actions } = content;
        self.set("title", title);
        self.set("message", message);
        self.set("data", data.get());
        self.put("category", category.as_ref());
        self.set("priority", serialize_to_bson(priority)?);
        self.put("url", url.as_ref());
        self.put("avatar", avatar.as_ref());
        self.set("actions", serialize_to_bson(actions)?);
        Ok(())
    }

    fn into_document(self) -> Document {
        let mut update = doc! { "$set": self.set };
        if !self.unset.is_empty() {
            update.insert("$unset", self.unset);
        }
        update
    }
}
