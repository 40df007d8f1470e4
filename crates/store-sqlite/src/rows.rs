//! What the file's rows mean. What comes from the disk may be anything: a row that we never wrote is an error, not a
//! panic.

use crate::number::number;
use rusqlite::Row;
use rusqlite::types::Type;
use tidings_domain::{
    Content, DeviceId, Entry, Notification, NotificationId, State, Timestamp, Tombstone, UserId,
};

/// What [`entry`] reads, of `item AS i` and `body AS b`.
pub(crate) const ENTRY: &str = "b.id, i.seq, i.rev, i.created_at, i.delivered_at, i.seen_at, i.read_at, \
                                i.archived_at, i.deleted_at, i.edited_at, i.expires_at, b.content";

fn damaged(
    column: usize,
    kind: Type,
    what: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(what))
}

pub(crate) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<NotificationId> {
    Ok(NotificationId::from_bytes(row.get(column)?))
}

pub(crate) fn user(column: usize, name: &str) -> rusqlite::Result<UserId> {
    UserId::stored(name).map_err(|error| damaged(column, Type::Text, error))
}

pub(crate) fn device(column: usize, name: &str) -> rusqlite::Result<DeviceId> {
    DeviceId::stored(name).map_err(|error| damaged(column, Type::Text, error))
}

pub(crate) fn content(column: usize, text: &str) -> rusqlite::Result<Content> {
    serde_json::from_str(text).map_err(|error| damaged(column, Type::Text, error))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

/// One row of an inbox, whether deleted or not. Columns as in [`ENTRY`].
pub(crate) fn entry(row: &Row<'_>, user_id: &UserId) -> rusqlite::Result<Entry> {
    if time(row, 8)?.is_some() {
        return Ok(Entry::Deleted(Tombstone { id: id(row, 0)?, seq: number(row, 1)?, rev: number(row, 2)? }));
    }
    notification(row, user_id).map(|notification| Entry::Live(Box::new(notification)))
}

/// One row that is not deleted. Columns as in [`ENTRY`].
pub(crate) fn notification(row: &Row<'_>, user_id: &UserId) -> rusqlite::Result<Notification> {
    Ok(Notification {
        id: id(row, 0)?,
        user_id: user_id.clone(),
        seq: number(row, 1)?,
        rev: number(row, 2)?,
        content: content(11, row.get_ref(11)?.as_str()?)?,
        state: State {
            delivered_at: time(row, 4)?,
            seen_at: time(row, 5)?,
            read_at: time(row, 6)?,
            archived_at: time(row, 7)?,
        },
        timestamp: Timestamp::from_millis(row.get(3)?),
        edited_at: time(row, 9)?,
        expires_at: time(row, 10)?,
    })
}
