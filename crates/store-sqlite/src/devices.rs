use crate::failure::Failure;
use crate::number::number;
use crate::rows;
use rusqlite::{Connection, OptionalExtension};
use tidings_domain::{Timestamp, UserId};
use tidings_store::Device;

/// The user's devices, last seen first; `visitors` where there is no inbox.
pub(crate) fn devices(
    conn: &Connection,
    user: &UserId,
    mut visitors: Vec<Device>,
) -> Result<Vec<Device>, Failure> {
    let u: Option<i64> = conn
        .prepare_cached("SELECT u FROM inbox WHERE user_id = ?1")?
        .query_row([user.as_str()], |row| row.get(0))
        .optional()?;
    let Some(u) = u else {
        visitors.sort_by(|one, other| {
            (other.last_seen_at, &one.device_id).cmp(&(one.last_seen_at, &other.device_id))
        });
        return Ok(visitors);
    };
    let devices = conn
        .prepare_cached(
            "SELECT device_id, cursor, last_seen_at, transport FROM device \
             WHERE u = ?1 ORDER BY last_seen_at DESC, device_id LIMIT 1000",
        )?
        .query_map([u], |row| {
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
