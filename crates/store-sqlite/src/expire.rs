use crate::failure::Failure;
use crate::state::{self, FOUND};
use crate::transaction::{Inbox, Tx};
use tidings_domain::MarkOp;

/// Deletes what is due in this inbox, as one revision. Every change of an inbox does this first, so that the numbers it
/// announces are exact and no change reaches what has vanished. Returns how many it were.
pub(crate) fn expire(tx: &mut Tx<'_>, inbox: &mut Inbox) -> Result<u64, Failure> {
    let now = tx.now.as_millis();
    if inbox.next_expiry.is_none_or(|next| next > now) {
        return Ok(0);
    }
    let due = tx
        .conn
        .prepare_cached(&format!(
            "SELECT {FOUND} FROM item AS i INDEXED BY item_expiring JOIN body AS b ON b.b = i.body \
             WHERE i.u = ?1 AND i.expires_at <= ?2 AND i.deleted_at IS NULL"
        ))?
        .query_map((inbox.u, now), state::found)?
        .collect::<Result<Vec<_>, _>>()?;
    inbox.next_expiry = tx
        .conn
        .prepare_cached(
            "SELECT min(expires_at) FROM item INDEXED BY item_expiring \
             WHERE u = ?1 AND expires_at > ?2 AND deleted_at IS NULL",
        )?
        .query_row((inbox.u, now), |row| row.get(0))?;
    if due.is_empty() {
        tx.save(inbox.clone());
    } else {
        state::change(tx, inbox, MarkOp::Delete, &due, None)?;
    }
    Ok(due.len() as u64)
}
