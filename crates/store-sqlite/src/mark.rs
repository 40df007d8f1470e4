use crate::expire::expire;
use crate::failure::Failure;
use crate::number::rows;
use crate::state::{self, FOUND, Found};
use crate::transaction::{Inbox, Tx};
use crate::writer::Operation;
use rusqlite::types::Value;
use std::collections::HashSet;
use std::rc::Rc;
use tidings_domain::{Mark, MarkTarget, NotificationId, UserId};
use tidings_store::Marked;

/// Changes the state of many.
pub(crate) struct MarkMany {
    pub user: UserId,
    pub mark: Mark,
}

impl Operation for MarkMany {
    type Answer = Marked;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Marked, Failure> {
        let Some(mut inbox) = tx.find(&self.user)? else {
            return Ok(Marked { rev: 0, changed: 0, counts: Default::default() });
        };
        expire(tx, &mut inbox)?;
        let Mark { op, target, category } = &self.mark;
        let category = category.as_deref();
        let changed = match target {
            MarkTarget::UpTo(up_to) => state::change_up_to(tx, &mut inbox, *op, *up_to, category)?,
            MarkTarget::Ids(ids) => {
                let found = find(tx, &inbox, ids, state::changes(*op), category)?;
                if !found.is_empty() {
                    state::change(tx, &mut inbox, *op, &found, category)?;
                }
                found.len() as u64
            }
        };
        Ok(Marked { rev: inbox.head, changed, counts: tx.counts(&inbox)? })
    }

    fn bytes(&self) -> usize {
        match &self.mark.target {
            MarkTarget::Ids(ids) => size_of_val(ids.as_slice()),
            MarkTarget::UpTo(_) => 0,
        }
    }
}

/// The live ones of these in this inbox that meet `condition`, each once, in the order given.
fn find(
    tx: &Tx<'_>,
    inbox: &Inbox,
    ids: &[NotificationId],
    condition: &str,
    category: Option<&str>,
) -> Result<Vec<Found>, Failure> {
    let mut met = HashSet::with_capacity(ids.len());
    let ids: Vec<Value> =
        ids.iter().filter(|id| met.insert(**id)).map(|id| Value::Blob(id.as_bytes().to_vec())).collect();
    let at_most = rows(ids.len());
    // CROSS JOIN keeps the order of the loops: from the ids to their rows.
    let sql = format!(
        "SELECT {FOUND} FROM rarray(?1) AS wanted CROSS JOIN body AS b ON b.id = wanted.value \
         CROSS JOIN item AS i ON i.u = b.u AND i.seq = b.seq \
         WHERE b.u = ?2 AND i.deleted_at IS NULL AND {condition} AND (?3 IS NULL OR i.category = ?3) LIMIT ?4"
    );
    let found = tx
        .conn
        .prepare_cached(&sql)?
        .query_map((Rc::new(ids), inbox.u, category, at_most), state::found)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(found)
}
