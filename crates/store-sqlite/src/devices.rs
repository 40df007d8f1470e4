use crate::failure::Failure;
use crate::number::number;
use crate::rows;
use rusqlite::Connection;
use tidings_domain::{Timestamp, UserId};
use tidings_store::Device;

/// The user's devices, last seen first.
pub(crate) fn devices(conn: &Connection, user: &UserId) -> Result<Vec<Device>, Failure> {
    let devices = conn
        .prepare_cached(
            "SELECT device_id, cursor, last_seen_at, transport FROM device \
             WHERE u = (SELECT u FROM inbox WHERE user_id = ?1) ORDER BY last_seen_at DESC, device_id LIMIT 1000",
        )?
        .query_map([user.as_str()], |row| {
            Ok(Device {
                device_id: rows::device(0, row.get_ref(0)?.as_str()?)?,
                cursor: number(row, 1)?,
                last_seen_at: Timestamp::from_millis(row.get(2)?),
                transport: row.get(3)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(devices)
}
