use crate::expire::expire;
use crate::failure::Failure;
use crate::state::{self, FOUND};
use crate::transaction::Tx;
use crate::writer::Operation;
use rusqlite::OptionalExtension;
use tidings_domain::{MarkOp, NotificationId};

/// Deletes one from every device.
pub(crate) struct Recall {
    pub id: NotificationId,
}

impl Operation for Recall {
    type Answer = bool;

    fn run(&self, tx: &mut Tx<'_>) -> Result<bool, Failure> {
        let Some(place) = place(tx, self.id)? else { return Ok(false) };
        let mut inbox = tx.inbox(place.u)?;
        expire(tx, &mut inbox)?;
        let found = tx
            .conn
            .prepare_cached(&format!(
                "SELECT {FOUND} FROM item AS i JOIN body AS b ON b.b = i.body \
                 WHERE i.u = ?1 AND i.seq = ?2 AND i.deleted_at IS NULL"
            ))?
            .query_row((place.u, place.seq), state::found)
            .optional()?;
        let Some(found) = found else { return Ok(false) };
        state::change(tx, &mut inbox, MarkOp::Delete, &[found], None)?;
        // Who recalls a text wants it gone. Its id stays for the devices, until retention removes the tombstone.
        tx.conn.prepare_cached("UPDATE body SET content = '' WHERE b = ?1")?.execute([place.b])?;
        Ok(true)
    }
}

/// Where a notification lies, whether live or not.
pub(crate) struct Place {
    pub b: i64,
    pub u: i64,
    pub seq: i64,
}

pub(crate) fn place(tx: &Tx<'_>, id: NotificationId) -> Result<Option<Place>, Failure> {
    let place = tx
        .conn
        .prepare_cached("SELECT b, u, seq FROM body WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| Ok(Place { b: row.get(0)?, u: row.get(1)?, seq: row.get(2)? }))
        .optional()?;
    Ok(place)
}
