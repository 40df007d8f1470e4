use crate::failure::Failure;
use crate::number::number;
use rusqlite::{Connection, OptionalExtension};
use tidings_domain::{Counts, Timestamp, UserId};

/// The inbox's numbers, of one category or of all.
///
/// All: one row, whatever the inbox holds. One category: counted, over the inbox's narrow rows; keeping counters per
/// category would cost every send a row more.
pub(crate) fn counts(
    conn: &Connection,
    user: &UserId,
    category: Option<&str>,
    now: Timestamp,
) -> Result<Counts, Failure> {
    let Some(category) = category else {
        let found = conn
            .prepare_cached("SELECT u, total, unread, unseen, next_expiry FROM inbox WHERE user_id = ?1")?
            .query_row([user.as_str()], |row| {
                let counted =
                    Counts { total: number(row, 1)?, unread: number(row, 2)?, unseen: number(row, 3)? };
                Ok((row.get::<_, i64>(0)?, counted, row.get::<_, Option<i64>>(4)?))
            })
            .optional()?;
        return match found {
            Some((u, counted, next_expiry)) => at(conn, u, counted, next_expiry, now),
            None => Ok(Counts::default()),
        };
    };
    let mut statement = conn.prepare_cached(
        "SELECT count(*), count(*) - count(read_at), count(*) - count(seen_at) FROM item \
         WHERE u = (SELECT u FROM inbox WHERE user_id = ?1) AND category = ?2 \
           AND deleted_at IS NULL AND archived_at IS NULL AND (expires_at IS NULL OR expires_at > ?3)",
    )?;
    Ok(statement.query_row((user.as_str(), category, now.as_millis()), |row| {
        Ok(Counts { total: number(row, 0)?, unread: number(row, 1)?, unseen: number(row, 2)? })
    })?)
}

/// The counters less what is due to expire and not swept yet.
pub(crate) fn at(
    conn: &Connection,
    u: i64,
    counted: Counts,
    next_expiry: Option<i64>,
    now: Timestamp,
) -> Result<Counts, Failure> {
    if next_expiry.is_none_or(|next| next > now.as_millis()) {
        return Ok(counted);
    }
    let due = conn
        .prepare_cached(
            "SELECT count(*), count(*) - count(read_at), count(*) - count(seen_at) FROM item INDEXED BY item_expiring \
             WHERE u = ?1 AND expires_at <= ?2 AND deleted_at IS NULL AND archived_at IS NULL",
        )?
        .query_row((u, now.as_millis()), |row| {
            Ok(Counts { total: number(row, 0)?, unread: number(row, 1)?, unseen: number(row, 2)? })
        })?;
    Ok(Counts {
        total: counted.total.saturating_sub(due.total),
        unread: counted.unread.saturating_sub(due.unread),
        unseen: counted.unseen.saturating_sub(due.unseen),
    })
}
