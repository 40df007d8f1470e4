use crate::failure::Failure;
use crate::number::{bound, number};
use crate::register::{self, Seen};
use crate::state::moment;
use crate::transaction::Tx;
use crate::writer::Operation;
use rusqlite::OptionalExtension;
use tidings_domain::{DeviceId, Revision, UserId};
use tidings_store::StoreError;

/// Everything above `after` and up to `up_to` has arrived.
///
/// Every live item with a revision at or below the inbox's `settled` is delivered. So an acknowledgement that reaches
/// down to it writes only what lies between it and `up_to`, and costs as much as what it newly covers.
pub(crate) struct Acknowledge {
    pub user: UserId,
    pub device: Option<DeviceId>,
    pub after: Revision,
    pub up_to: Revision,
}

impl Operation for Acknowledge {
    type Answer = Revision;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Revision, Failure> {
        let found = tx.find(&self.user)?;
        let head = found.as_ref().map_or(0, |inbox| inbox.head);
        if self.up_to > head {
            return Err(StoreError::AboveHead { head }.into());
        }
        let mut inbox = match (found, &self.device) {
            (Some(inbox), _) => inbox,
            (None, device) => {
                if let Some(device) = device {
                    tx.visitors.confirmed_nothing(&self.user, device, tx.now);
                }
                return Ok(0);
            }
        };
        deliver(tx, inbox.u, self.after.max(inbox.settled), self.up_to)?;
        let settled = if self.after <= inbox.settled { self.up_to.max(inbox.settled) } else { inbox.settled };
        let confirmed = self.up_to.max(inbox.confirmed);
        if (settled, confirmed) != (inbox.settled, inbox.confirmed) {
            (inbox.settled, inbox.confirmed) = (settled, confirmed);
            tx.save(inbox.clone());
        }
        let Some(device) = &self.device else { return Ok(inbox.confirmed) };
        let known = tx
            .conn
            .prepare_cached("SELECT cursor FROM device WHERE u = ?1 AND device_id = ?2")?
            .query_row((inbox.u, device.as_str()), |row| number(row, 0))
            .optional()?;
        match known {
            Some(cursor) if cursor >= self.up_to => Ok(cursor),
            Some(_) => {
                register::touch(tx, inbox.u, device, Seen { cursor: Some(self.up_to), transport: None })?;
                Ok(self.up_to)
            }
            None => {
                register::admit(tx, inbox.u, device, self.up_to, "http", tx.now)?;
                Ok(self.up_to)
            }
        }
    }
}

/// What has a revision above `after` and up to `up_to` becomes delivered: what did not change since it was created, and
/// what did.
fn deliver(tx: &Tx<'_>, u: i64, after: Revision, up_to: Revision) -> Result<(), Failure> {
    if after >= up_to {
        return Ok(());
    }
    let (after, up_to, now) = (bound(after), bound(up_to), tx.now.as_millis());
    tx.conn
        .prepare_cached(concat!(
            "UPDATE item SET delivered_at = ",
            moment!("?4"),
            " WHERE u = ?1 AND seq > ?2 AND seq <= ?3 AND rev = seq AND delivered_at IS NULL AND deleted_at IS NULL",
        ))?
        .execute((u, after, up_to, now))?;
    tx.conn
        .prepare_cached(concat!(
            "UPDATE item INDEXED BY item_changed SET delivered_at = ",
            moment!("?4"),
            " WHERE u = ?1 AND rev > ?2 AND rev <= ?3 AND rev <> seq AND delivered_at IS NULL AND deleted_at IS NULL",
        ))?
        .execute((u, after, up_to, now))?;
    Ok(())
}
