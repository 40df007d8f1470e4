use crate::failure::Failure;
use crate::rows::{self, ENTRY};
use rusqlite::{Connection, OptionalExtension};
use tidings_domain::{Notification, NotificationId, Timestamp};

/// One notification; `None` when unknown, deleted or expired.
pub(crate) fn notification(
    conn: &Connection,
    id: NotificationId,
    now: Timestamp,
) -> Result<Option<Notification>, Failure> {
    let found = conn
        .prepare_cached(&format!(
            "SELECT {ENTRY}, x.user_id FROM body AS b JOIN item AS i ON i.u = b.u AND i.seq = b.seq \
             JOIN inbox AS x ON x.u = b.u \
             WHERE b.id = ?1 AND i.deleted_at IS NULL AND (i.expires_at IS NULL OR i.expires_at > ?2)"
        ))?
        .query_row((id.as_bytes(), now.as_millis()), |row| {
            let user = rows::user(12, row.get_ref(12)?.as_str()?)?;
            rows::notification(row, &user)
        })
        .optional()?;
    Ok(found)
}
