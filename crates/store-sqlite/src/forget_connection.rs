use crate::failure::Failure;
use crate::transaction::Tx;
use crate::writer::Operation;
use tidings_domain::UserId;

/// A connection holds no registration of this user any more.
pub(crate) struct ForgetConnection {
    pub user: UserId,
    pub pid: String,
}

impl Operation for ForgetConnection {
    type Answer = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        tx.conn
            .prepare_cached("DELETE FROM visitor WHERE pid = ?1 AND user_id = ?2")?
            .execute((&self.pid, self.user.as_str()))?;
        if let Some(inbox) = tx.find(&self.user)? {
            tx.conn
                .prepare_cached("DELETE FROM registration WHERE pid = ?1 AND u = ?2")?
                .execute((&self.pid, inbox.u))?;
        }
        Ok(())
    }
}
