use crate::failure::Failure;
use crate::locate::standing;
use crate::number::{bound, rows as row_count};
use crate::rows::{self, ENTRY};
use rusqlite::Connection;
use tidings_domain::{Notification, Timestamp, UserId};
use tidings_store::{ArchivedFilter, InboxPage, InboxQuery, Range, StatusFilter};

/// A page of an inbox, newest first.
pub(crate) fn inbox(
    conn: &Connection,
    user: &UserId,
    query: &InboxQuery,
    now: Timestamp,
) -> Result<InboxPage, Failure> {
    let Some(standing) = standing(conn, user, now)? else {
        return Ok(InboxPage {
            notifications: Vec::new(),
            counts: Default::default(),
            head: 0,
            floor: 0,
            has_more: false,
        });
    };
    let limit = query.limit.max(1);
    let status = match query.status {
        StatusFilter::All => "",
        StatusFilter::Unread => "AND i.read_at IS NULL",
        StatusFilter::Read => "AND i.read_at IS NOT NULL",
        StatusFilter::Unseen => "AND i.seen_at IS NULL",
    };
    let archived = match query.archived {
        ArchivedFilter::Exclude => "AND i.archived_at IS NULL",
        ArchivedFilter::Include => "",
        ArchivedFilter::Only => "AND i.archived_at IS NOT NULL",
    };
    let (from, order) = match query.range {
        Range::Newest | Range::Before(_) => ("i.seq < ?2", "DESC"),
        Range::After(_) => ("i.seq > ?2", "ASC"),
    };
    let seq = match query.range {
        Range::Newest => i64::MAX,
        Range::Before(seq) | Range::After(seq) => bound(seq),
    };
    // CROSS JOIN: walk the narrow rows and look up the text of those that are wanted, never the other way round.
    let sql = format!(
        "SELECT {ENTRY} FROM item AS i CROSS JOIN body AS b ON b.b = i.body \
         WHERE i.u = ?1 AND {from} AND i.deleted_at IS NULL {archived} {status} \
         AND (?3 IS NULL OR i.category = ?3) AND (i.expires_at IS NULL OR i.expires_at > ?4) \
         ORDER BY i.seq {order} LIMIT ?5"
    );
    let one_more = row_count(limit).saturating_add(1);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows =
        statement.query((standing.u, seq, query.category.as_deref(), now.as_millis(), one_more))?;
    let (mut notifications, mut bytes, mut has_more) = (Vec::<Notification>::new(), 0, false);
    while let Some(row) = rows.next()? {
        if notifications.len() >= limit || bytes >= query.bytes.max(1) {
            has_more = true;
            break;
        }
        let notification = rows::notification(row, user)?;
        bytes += notification.wire_size();
        notifications.push(notification);
    }
    if matches!(query.range, Range::After(_)) {
        notifications.reverse();
    }
    Ok(InboxPage {
        notifications,
        counts: standing.counts,
        head: standing.head,
        floor: standing.floor,
        has_more,
    })
}
