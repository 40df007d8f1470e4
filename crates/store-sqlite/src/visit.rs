//! Devices that attach to an inbox that is not there. [`Visitors`](tidings_store::Visitors) says why nothing of them is stored
//! but the registrations of their connections.

use crate::failure::Failure;
use crate::register::{CONNECTIONS, DEVICES, admit, day_of};
use crate::rows;
use crate::transaction::Tx;
use tidings_domain::{DeviceId, UserId};

/// Remembers which registration a connection holds.
pub(crate) fn connect(tx: &Tx<'_>, user: &UserId, device: &DeviceId, pid: &str) -> Result<(), Failure> {
    tx.conn.prepare_cached("DELETE FROM registration WHERE pid = ?1")?.execute([pid])?;
    tx.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO visitor (pid, user_id, device_id, at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((pid, user.as_str(), device.as_str(), tx.now.as_millis()))?;
    tx.conn
        .prepare_cached(
            "DELETE FROM visitor WHERE pid IN (SELECT pid FROM visitor \
             WHERE user_id = ?1 AND device_id = ?2 AND pid <> ?3 ORDER BY at DESC LIMIT -1 OFFSET ?4)",
        )?
        .execute((user.as_str(), device.as_str(), pid, CONNECTIONS - 1))?;
    tx.conn
        .prepare_cached(
            "DELETE FROM visitor WHERE pid IN (SELECT pid FROM visitor \
             WHERE user_id = ?1 AND pid <> ?2 ORDER BY at DESC LIMIT -1 OFFSET ?3)",
        )?
        .execute((user.as_str(), pid, DEVICES - 1))?;
    Ok(())
}

/// The inbox has been made: those who attached before are its devices, which started at 0.
pub(crate) fn settle(tx: &Tx<'_>, u: i64, user: &UserId) -> Result<(), Failure> {
    for device in tx.visitors.of(user) {
        admit(tx, u, &device.device_id, 0, &device.transport, device.last_seen_at)?;
    }
    let connections: Vec<(String, DeviceId, i64)> = tx
        .conn
        .prepare_cached("SELECT pid, device_id, at FROM visitor WHERE user_id = ?1")?
        .query_map([user.as_str()], |row| {
            Ok((row.get(0)?, rows::device(1, row.get_ref(1)?.as_str()?)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    if connections.is_empty() {
        return Ok(());
    }
    for (pid, device, at) in connections {
        // Not remembered any more where the server was started since.
        tx.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO device (u, device_id, cursor, last_seen_at, last_seen_day, transport) \
                 VALUES (?1, ?2, 0, ?3, ?4, 'websocket')",
            )?
            .execute((u, device.as_str(), at, day_of(at)))?;
        tx.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO registration (pid, u, device_id, at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((&pid, u, device.as_str(), at))?;
    }
    tx.conn.prepare_cached("DELETE FROM visitor WHERE user_id = ?1")?.execute([user.as_str()])?;
    Ok(())
}

/// Forgets who was not seen since, and at most so many connections. How many these were.
pub(crate) fn forget_before(tx: &Tx<'_>, cutoff: i64, limit: i64) -> Result<usize, Failure> {
    tx.visitors.forget_before(tidings_domain::Timestamp::from_millis(cutoff));
    let gone = tx
        .conn
        .prepare_cached(
            "DELETE FROM visitor WHERE pid IN (SELECT pid FROM visitor WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute((cutoff, limit))?;
    Ok(gone)
}
