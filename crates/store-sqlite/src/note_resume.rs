use crate::failure::Failure;
use crate::transaction::Tx;
use crate::writer::Operation;
use tidings_domain::{DeviceId, UserId};

/// Keeps how far a device's resume has come, beside its cursor.
pub(crate) struct NoteResume {
    pub user: UserId,
    pub device: DeviceId,
    pub note: String,
}

impl Operation for NoteResume {
    type Answer = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        tx.conn
            .prepare_cached(
                "UPDATE device SET resume = ?3 WHERE device_id = ?2 AND u = (SELECT u FROM inbox WHERE user_id = ?1)",
            )?
            .execute((self.user.as_str(), self.device.as_str(), &self.note))?;
        Ok(())
    }
}
