use crate::failure::Failure;
use crate::transaction::Tx;
use crate::writer::Operation;

/// Finds out whether the store can write again: takes about as much room as a large notification, and gives it back.
pub(crate) struct Probe;

impl Operation for Probe {
    type Answer = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        tx.conn
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', zeroblob(32768))")?
            .execute([])?;
        tx.conn.prepare_cached("DELETE FROM meta WHERE key = 'probe'")?.execute([])?;
        Ok(())
    }
}
