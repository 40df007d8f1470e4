use crate::failure::Failure;
use crate::number::bound;
use crate::transaction::Tx;
use crate::visit;
use crate::writer::Operation;
use rusqlite::OptionalExtension;
use tidings_domain::{DeviceId, Revision, Timestamp, UserId};
use tidings_store::Registration;

/// How many devices of one user are known; past that the one longest unseen is forgotten.
pub(crate) const DEVICES: i64 = 1_000;

/// How many connections of one device are known. A page makes a new one at each load, and of two open pages each needs
/// its own; nobody has this many open.
pub(crate) const CONNECTIONS: i64 = 16;

/// Makes a device known, or touches it.
pub(crate) struct Register {
    pub user: UserId,
    pub registration: Registration,
}

impl Operation for Register {
    type Answer = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let Registration { device_id, pid, start, transport } = &self.registration;
        let Some(inbox) = tx.find(&self.user)? else {
            tx.visitors.attached(&self.user, device_id, transport, tx.now);
            return match pid {
                Some(pid) => visit::connect(tx, &self.user, device_id, pid),
                None => Ok(()),
            };
        };
        let seen = Seen { cursor: None, transport: Some(transport) };
        if !touch(tx, inbox.u, device_id, seen)? {
            // Nobody can start above the head: what comes next would be taken as known.
            admit(tx, inbox.u, device_id, (*start).min(inbox.head), transport, tx.now)?;
        }
        if let Some(pid) = pid {
            connect(tx, inbox.u, device_id, pid)?;
        }
        Ok(())
    }
}

/// What is new of a device that was seen.
pub(crate) struct Seen<'a> {
    pub cursor: Option<Revision>,
    pub transport: Option<&'a str>,
}

/// A known device was seen. `false`: it is not known.
pub(crate) fn touch(tx: &Tx<'_>, u: i64, device: &DeviceId, seen: Seen<'_>) -> Result<bool, Failure> {
    let now = tx.now.as_millis();
    let day: Option<i64> = tx
        .conn
        .prepare_cached("SELECT last_seen_day FROM device WHERE u = ?1 AND device_id = ?2")?
        .query_row((u, device.as_str()), |row| row.get(0))
        .optional()?;
    let Some(day) = day else { return Ok(false) };
    tx.conn
        .prepare_cached(
            "UPDATE device SET last_seen_at = ?3, cursor = coalesce(?4, cursor), transport = coalesce(?5, transport) \
             WHERE u = ?1 AND device_id = ?2",
        )?
        .execute((u, device.as_str(), now, seen.cursor.map(bound), seen.transport))?;
    if day != day_of(now) {
        tx.conn
            .prepare_cached("UPDATE device SET last_seen_day = ?3 WHERE u = ?1 AND device_id = ?2")?
            .execute((u, device.as_str(), day_of(now)))?;
    }
    Ok(true)
}

/// A device is seen for the first time.
pub(crate) fn admit(
    tx: &Tx<'_>,
    u: i64,
    device: &DeviceId,
    cursor: Revision,
    transport: &str,
    seen: Timestamp,
) -> Result<(), Failure> {
    let known: i64 = tx
        .conn
        .prepare_cached("SELECT count(*) FROM device WHERE u = ?1")?
        .query_row([u], |row| row.get(0))?;
    if known >= DEVICES {
        let longest: Vec<String> = tx
            .conn
            .prepare_cached(
                "SELECT device_id FROM device WHERE u = ?1 ORDER BY last_seen_at, device_id LIMIT ?2",
            )?
            .query_map((u, known - DEVICES + 1), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for device in longest {
            forget(tx, u, &device)?;
        }
    }
    let seen = seen.as_millis();
    tx.conn
        .prepare_cached(
            "INSERT INTO device (u, device_id, cursor, last_seen_at, last_seen_day, transport) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((u, device.as_str(), bound(cursor), seen, day_of(seen), transport))?;
    Ok(())
}

/// A device is no longer known, nor are its connections.
pub(crate) fn forget(tx: &Tx<'_>, u: i64, device: &str) -> Result<(), Failure> {
    tx.conn
        .prepare_cached("DELETE FROM registration WHERE u = ?1 AND device_id = ?2")?
        .execute((u, device))?;
    tx.conn.prepare_cached("DELETE FROM device WHERE u = ?1 AND device_id = ?2")?.execute((u, device))?;
    Ok(())
}

fn connect(tx: &Tx<'_>, u: i64, device: &DeviceId, pid: &str) -> Result<(), Failure> {
    tx.conn.prepare_cached("DELETE FROM visitor WHERE pid = ?1")?.execute([pid])?;
    tx.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO registration (pid, u, device_id, at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((pid, u, device.as_str(), tx.now.as_millis()))?;
    tx.conn
        .prepare_cached(
            "DELETE FROM registration WHERE pid IN (SELECT pid FROM registration \
             WHERE u = ?1 AND device_id = ?2 AND pid <> ?3 ORDER BY at DESC LIMIT -1 OFFSET ?4)",
        )?
        .execute((u, device.as_str(), pid, CONNECTIONS - 1))?;
    Ok(())
}

/// The day of a moment in milliseconds.
pub(crate) fn day_of(millis: i64) -> i64 {
    millis.div_euclid(24 * 60 * 60 * 1_000)
}
