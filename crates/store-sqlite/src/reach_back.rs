use crate::failure::Failure;
use crate::number::{bound, number};
use rusqlite::{Connection, OptionalExtension};
use tidings_domain::{Revision, UserId};

/// The smallest cursor above which at most `reach` notifications lie: the revision of the one after them, counted from
/// the newest revision down.
///
/// Of the `reach + 1` that were created last none has a revision below the oldest one's `seq`, so what is looked for is
/// not below it either, and what was created before is of interest only where it changed above it.
pub(crate) fn reach_back(conn: &Connection, user: &UserId, reach: u64) -> Result<Revision, Failure> {
    let inbox = conn
        .prepare_cached("SELECT u, floor FROM inbox WHERE user_id = ?1")?
        .query_row([user.as_str()], |row| Ok((row.get::<_, i64>(0)?, number(row, 1)?)))
        .optional()?;
    let Some((u, floor)) = inbox else { return Ok(0) };
    let wanted = bound(reach).saturating_add(1);
    let newest: Vec<(u64, u64)> = conn
        .prepare_cached("SELECT seq, rev FROM item WHERE u = ?1 ORDER BY seq DESC LIMIT ?2")?
        .query_map((u, wanted), |row| Ok((number(row, 0)?, number(row, 1)?)))?
        .collect::<Result<_, _>>()?;
    let Some(&(oldest, _)) = newest.last() else { return Ok(floor) };
    let mut revs: Vec<Revision> = newest.into_iter().map(|(_, rev)| rev).collect();
    let changed = conn
        .prepare_cached(
            "SELECT rev FROM item INDEXED BY item_changed \
             WHERE u = ?1 AND rev > ?2 AND rev <> seq AND seq < ?2 ORDER BY rev DESC LIMIT ?3",
        )?
        .query_map((u, bound(oldest), wanted), |row| number(row, 0))?
        .collect::<Result<Vec<_>, _>>()?;
    revs.extend(changed);
    revs.sort_unstable_by(|a, b| b.cmp(a));
    let cursor = usize::try_from(reach).ok().and_then(|reach| revs.get(reach)).copied().unwrap_or(0);
    Ok(cursor.max(floor))
}
