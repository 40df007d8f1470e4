use crate::expire::expire;
use crate::failure::Failure;
use crate::number::bound;
use crate::recall::place;
use crate::rows::{self, ENTRY};
use crate::transaction::Tx;
use crate::writer::Operation;
use rusqlite::OptionalExtension;
use tidings_domain::{Kind, Notification, NotificationId};
use tidings_store::Edit;

/// Edits in place.
pub(crate) struct EditOne {
    pub id: NotificationId,
    pub edit: Edit,
}

impl Operation for EditOne {
    type Answer = Option<Notification>;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Option<Notification>, Failure> {
        let Some(place) = place(tx, self.id)? else { return Ok(None) };
        let mut inbox = tx.inbox(place.u)?;
        expire(tx, &mut inbox)?;
        let found = tx
            .conn
            .prepare_cached(&format!(
                "SELECT {ENTRY} FROM item AS i JOIN body AS b ON b.b = i.body \
                 WHERE i.u = ?1 AND i.seq = ?2 AND i.deleted_at IS NULL"
            ))?
            .query_row((place.u, place.seq), |row| rows::notification(row, &inbox.user_id))
            .optional()?;
        let Some(mut notification) = found else { return Ok(None) };

        let (content, reworded) = self.edit.apply(&notification.content);
        let expires_at = self.edit.expires_at.unwrap_or(notification.expires_at);
        if !reworded && expires_at == notification.expires_at {
            return Ok(Some(notification));
        }
        notification.rev = inbox.advance();
        notification.expires_at = expires_at;
        if reworded {
            let Notification { state, timestamp, edited_at, .. } = &notification;
            notification.edited_at = Some(state.moment(tx.now, *timestamp, *edited_at));
            tx.conn
                .prepare_cached("UPDATE body SET content = ?2 WHERE b = ?1")?
                .execute((place.b, to_json(&content)?))?;
            notification.content = content;
        }
        tx.conn
            .prepare_cached(
                "UPDATE item SET rev = ?3, category = ?4, edited_at = ?5, expires_at = ?6 WHERE u = ?1 AND seq = ?2",
            )?
            .execute((
                place.u,
                place.seq,
                bound(notification.rev),
                notification.content.category.as_deref(),
                notification.edited_at.map(|at| at.as_millis()),
                expires_at.map(|at| at.as_millis()),
            ))?;
        inbox.expects(expires_at);
        // The next numbers may need what was just written.
        tx.announce(&inbox, Kind::Edited(Box::new(notification.clone())))?;
        tx.save(inbox);
        Ok(Some(notification))
    }

    fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        text(&self.edit.title)
            + text(&self.edit.message)
            + self.edit.data.as_ref().map_or(0, |data| data.get().len())
    }
}

/// A text as it lies in `body`.
pub(crate) fn to_json(content: &tidings_domain::Content) -> Result<String, Failure> {
    serde_json::to_string(content).map_err(|error| {
        Failure::Refused(tidings_store::StoreError::Damaged(format!("a content cannot be written: {error}")))
    })
}
