use crate::failure::Failure;
use crate::rows;
use rusqlite::{Connection, OptionalExtension};
use tidings_domain::{DeviceId, UserId};

/// Whose registration a connection last held.
pub(crate) fn registration(conn: &Connection, pid: &str) -> Result<Option<(UserId, DeviceId)>, Failure> {
    let found = conn
        .prepare_cached(
            "SELECT x.user_id, r.device_id FROM registration AS r JOIN inbox AS x ON x.u = r.u WHERE r.pid = ?1 \
             UNION ALL SELECT user_id, device_id FROM visitor WHERE pid = ?1",
        )?
        .query_row([pid], |row| {
            Ok((rows::user(0, row.get_ref(0)?.as_str()?)?, rows::device(1, row.get_ref(1)?.as_str()?)?))
        })
        .optional()?;
    Ok(found)
}
