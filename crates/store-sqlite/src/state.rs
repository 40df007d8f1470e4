//! Changing the state of many rows at once, and the counters with them.
//!
//! What an operation does to a row is said by the domain ([`MarkOp`]); here it is said again in SQL, because a thousand
//! rows change in one statement. The model test of the conformance suite holds the two to each other.

use crate::failure::Failure;
use crate::number::bound;
use crate::rows;
use crate::transaction::{Inbox, Tx};
use rusqlite::types::Value;
use rusqlite::{Row, ToSql, params_from_iter};
use std::rc::Rc;
use tidings_domain::{Counts, Kind, MarkOp, MarkTarget, NotificationId, Reach};

/// A row that an operation will change.
pub(crate) struct Found {
    pub seq: i64,
    pub id: NotificationId,
    /// What it counts for in its inbox's numbers, were it not archived.
    weight: Counts,
    archived: bool,
}

/// What [`found`] reads, of `item AS i` and `body AS b`.
pub(crate) const FOUND: &str = "i.seq, b.id, i.read_at IS NULL, i.seen_at IS NULL, i.archived_at IS NOT NULL";

/// Columns as in [`FOUND`].
pub(crate) fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let weight = Counts {
        total: 1,
        unread: u64::from(row.get::<_, bool>(2)?),
        unseen: u64::from(row.get::<_, bool>(3)?),
    };
    Ok(Found { seq: row.get(0)?, id: rows::id(row, 1)?, weight, archived: row.get(4)? })
}

/// Which live rows `op` changes, in SQL over `item`.
pub(crate) fn changes(op: MarkOp) -> &'static str {
    match op {
        MarkOp::Read => "read_at IS NULL",
        MarkOp::Unread => "read_at IS NOT NULL",
        MarkOp::Seen => "seen_at IS NULL",
        MarkOp::Archive => "archived_at IS NULL",
        MarkOp::Unarchive => "archived_at IS NOT NULL",
        MarkOp::Delete => "TRUE",
    }
}

/// What `op` reaches without ids, in SQL over `item`.
pub(crate) fn reaches(op: MarkOp) -> &'static str {
    match op.reach() {
        Reach::Inbox => "archived_at IS NULL",
        Reach::Archive => "archived_at IS NOT NULL",
    }
}

/// The time of what happens to a row at the moment that is the named parameter, in SQL over `item`: what
/// [`State::moment`](tidings_domain::State::moment) is for one notification.
macro_rules! moment {
    ($now:literal) => {
        concat!(
            "max(",
            $now,
            ", created_at, ifnull(delivered_at, created_at), ifnull(seen_at, created_at), ifnull(read_at, created_at), \
             ifnull(archived_at, created_at), ifnull(edited_at, created_at))"
        )
    };
}
pub(crate) use moment;

/// What `op` sets; `?3` is the moment.
fn sets(op: MarkOp) -> &'static str {
    match op {
        MarkOp::Read => {
            concat!("read_at = ", moment!("?3"), ", seen_at = coalesce(seen_at, ", moment!("?3"), ")")
        }
        MarkOp::Unread => "read_at = NULL",
        MarkOp::Seen => concat!("seen_at = ", moment!("?3")),
        MarkOp::Archive => concat!("archived_at = ", moment!("?3")),
        MarkOp::Unarchive => "archived_at = NULL",
        MarkOp::Delete => concat!("deleted_at = ", moment!("?3")),
    }
}

/// Moves the counters by what changed; `weight` is of those rows that count (or, unarchived, will count).
fn shift(counted: &mut Counts, op: MarkOp, weight: Counts) {
    match op {
        MarkOp::Read => {
            counted.unread = counted.unread.saturating_sub(weight.unread);
            counted.unseen = counted.unseen.saturating_sub(weight.unseen);
        }
        MarkOp::Unread => counted.unread += weight.total,
        MarkOp::Seen => counted.unseen = counted.unseen.saturating_sub(weight.unseen),
        MarkOp::Archive | MarkOp::Delete => {
            counted.total = counted.total.saturating_sub(weight.total);
            counted.unread = counted.unread.saturating_sub(weight.unread);
            counted.unseen = counted.unseen.saturating_sub(weight.unseen);
        }
        MarkOp::Unarchive => {
            counted.total += weight.total;
            counted.unread += weight.unread;
            counted.unseen += weight.unseen;
        }
    }
}

/// Changes these rows, as the inbox's next revision. `found` must be live rows that `op` changes, and not empty.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    inbox: &mut Inbox,
    op: MarkOp,
    found: &[Found],
    category: Option<&str>,
) -> Result<(), Failure> {
    let mut weight = Counts::default();
    for row in found.iter().filter(|row| op == MarkOp::Unarchive || !row.archived) {
        weight.total += 1;
        weight.unread += row.weight.unread;
        weight.unseen += row.weight.unseen;
    }
    let seqs = found.iter().map(|row| Value::from(row.seq)).collect();
    update(tx, inbox, op, "seq IN rarray(?4)", &[&Rc::<Vec<Value>>::new(seqs)])?;
    shift(&mut inbox.counted, op, weight);
    let ids = found.iter().map(|row| row.id).collect();
    let kind = Kind::Marked { op, target: MarkTarget::Ids(ids), category: category.map(str::to_owned) };
    tx.announce(inbox, kind)?;
    tx.save(inbox.clone());
    Ok(())
}

/// Changes all that `op` reaches up to `up_to`, as the inbox's next revision; nothing when it changes none. Returns how
/// many changed. What is due must have been swept.
pub(crate) fn change_up_to(
    tx: &mut Tx<'_>,
    inbox: &mut Inbox,
    op: MarkOp,
    up_to: u64,
    category: Option<&str>,
) -> Result<u64, Failure> {
    // How many rows `op` can change at most is known from the counters. The search goes from the newest down and ends
    // with the last of them, so that "mark all read" does not walk years of read ones.
    let counted = inbox.counted;
    let at_most = match op {
        MarkOp::Read => bound(counted.unread),
        MarkOp::Unread => bound(counted.total.saturating_sub(counted.unread)),
        MarkOp::Seen => bound(counted.unseen),
        MarkOp::Archive | MarkOp::Delete => bound(counted.total),
        MarkOp::Unarchive => i64::MAX,
    };
    let (changes, reaches) = (changes(op), reaches(op));
    let select = format!(
        "SELECT count(*), count(*) - count(read_at), count(*) - count(seen_at), min(seq), max(seq) FROM ( \
         SELECT seq, read_at, seen_at FROM item WHERE u = ?1 AND seq <= ?2 AND deleted_at IS NULL \
         AND {changes} AND {reaches} AND (?3 IS NULL OR category = ?3) ORDER BY seq DESC LIMIT ?4)"
    );
    let (weight, first, last) =
        tx.conn.prepare_cached(&select)?.query_row((inbox.u, bound(up_to), category, at_most), |row| {
            let weight = Counts {
                total: crate::number::number(row, 0)?,
                unread: crate::number::number(row, 1)?,
                unseen: crate::number::number(row, 2)?,
            };
            Ok((weight, row.get::<_, Option<i64>>(3)?, row.get::<_, Option<i64>>(4)?))
        })?;
    if weight.total == 0 {
        return Ok(0);
    }
    let target = MarkTarget::UpTo(up_to.min(inbox.head));
    let which = format!(
        "seq BETWEEN ?4 AND ?5 AND deleted_at IS NULL AND {changes} AND {reaches} AND (?6 IS NULL OR category = ?6)"
    );
    update(tx, inbox, op, &which, &[&first, &last, &category])?;
    shift(&mut inbox.counted, op, weight);
    tx.announce(inbox, Kind::Marked { op, target, category: category.map(str::to_owned) })?;
    tx.save(inbox.clone());
    Ok(weight.total)
}

fn update(
    tx: &Tx<'_>,
    inbox: &mut Inbox,
    op: MarkOp,
    which: &str,
    params: &[&dyn ToSql],
) -> Result<(), Failure> {
    let sql = format!("UPDATE item SET rev = ?2, {} WHERE u = ?1 AND {which}", sets(op));
    let (rev, now) = (bound(inbox.advance()), tx.now.as_millis());
    let own: [&dyn ToSql; 3] = [&inbox.u, &rev, &now];
    tx.conn.prepare_cached(&sql)?.execute(params_from_iter(own.iter().chain(params)))?;
    Ok(())
}
