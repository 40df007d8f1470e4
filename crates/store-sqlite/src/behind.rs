use crate::failure::Failure;
use crate::number::{bound, number};
use rusqlite::Connection;
use tidings_domain::{Revision, UserId};

/// How many notifications have a revision above `since`; stops counting at `cap`.
///
/// What was created above `since` has its revision above it. The rest was created before and changed since. The second
/// count walks over the first kind too, of which there are then fewer than `cap`: so both walks are bounded by it.
pub(crate) fn behind(conn: &Connection, user: &UserId, since: Revision, cap: u64) -> Result<u64, Failure> {
    let newer: u64 = conn
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM item \
             WHERE u = (SELECT u FROM inbox WHERE user_id = ?1) AND seq > ?2 LIMIT ?3)",
        )?
        .query_row((user.as_str(), bound(since), bound(cap)), |row| number(row, 0))?;
    if newer >= cap {
        return Ok(cap);
    }
    let changed: u64 = conn
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM item INDEXED BY item_changed \
             WHERE u = (SELECT u FROM inbox WHERE user_id = ?1) AND rev > ?2 AND rev <> seq AND seq <= ?2 LIMIT ?3)",
        )?
        .query_row((user.as_str(), bound(since), bound(cap - newer)), |row| number(row, 0))?;
    Ok(newer + changed)
}
