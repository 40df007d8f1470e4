use crate::failure::Failure;
use crate::number::number;
use rusqlite::{Connection, OptionalExtension};
use tidings_domain::{Counts, DeviceId, Revision, Timestamp, UserId};
use tidings_store::Located;

/// An inbox's row, as a reader sees it at one moment.
pub(crate) struct Standing {
    pub u: i64,
    pub head: Revision,
    pub floor: Revision,
    pub counts: Counts,
    pub confirmed: Revision,
}

/// Where the inbox stands. `None`: there is none.
pub(crate) fn standing(
    conn: &Connection,
    user: &UserId,
    now: Timestamp,
) -> Result<Option<Standing>, Failure> {
    let found = conn
        .prepare_cached(
            "SELECT u, head, floor, total, unread, unseen, confirmed, next_expiry FROM inbox WHERE user_id = ?1",
        )?
        .query_row([user.as_str()], |row| {
            let counts = Counts { total: number(row, 3)?, unread: number(row, 4)?, unseen: number(row, 5)? };
            let standing = Standing {
                u: row.get(0)?,
                head: number(row, 1)?,
                floor: number(row, 2)?,
                counts,
                confirmed: number(row, 6)?,
            };
            Ok((standing, row.get::<_, Option<i64>>(7)?))
        })
        .optional()?;
    let Some((mut standing, next_expiry)) = found else { return Ok(None) };
    standing.counts = crate::counts::at(conn, standing.u, standing.counts, next_expiry, now)?;
    Ok(Some(standing))
}

/// Where the inbox stands, and what is known of one device. `visits`: it has attached while there was none.
pub(crate) fn locate(
    conn: &Connection,
    user: &UserId,
    device: Option<&DeviceId>,
    visits: bool,
    now: Timestamp,
) -> Result<Located, Failure> {
    let Some(Standing { u, head, floor, counts, confirmed }) = standing(conn, user, now)? else {
        return Ok(Located { device: visits.then_some(0), ..Located::default() });
    };
    let known = match device {
        Some(device) => conn
            .prepare_cached("SELECT cursor, resume FROM device WHERE u = ?1 AND device_id = ?2")?
            .query_row((u, device.as_str()), |row| Ok((number(row, 0)?, row.get(1)?)))
            .optional()?,
        None => None,
    };
    let (device, resume) = known.map_or((None, None), |(cursor, resume)| (Some(cursor), resume));
    Ok(Located { head, floor, counts, confirmed, device, resume })
}
