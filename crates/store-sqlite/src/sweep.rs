use crate::expire::expire;
use crate::failure::Failure;
use crate::number::{bound, number, rows};
use crate::register::{day_of, forget};
use crate::state::{self, FOUND};
use crate::transaction::Tx;
use crate::visit;
use crate::writer::Operation;
use rusqlite::OptionalExtension;
use std::collections::BTreeMap;
use tidings_domain::MarkOp;
use tidings_store::{IDEMPOTENCY_TTL, Sweep, Swept};

/// One slice of upkeep. It ends when it has touched about as many rows as it may, so that a send that waits behind it
/// waits for a slice and not for the whole.
pub(crate) struct Slice {
    pub sweep: Sweep,
}

impl Operation for Slice {
    type Answer = Swept;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Swept, Failure> {
        let cutoff = tx.now.before(self.sweep.retention).as_millis();
        let mut room = rows(self.sweep.limit.max(1));
        let mut swept = Swept::default();
        expired(tx, &mut room, &mut swept)?;
        retired(tx, cutoff, &mut room, &mut swept)?;
        purged(tx, cutoff, &mut room, &mut swept)?;
        devices(tx, cutoff, &mut room)?;
        idempotency_keys(tx, &mut room)?;
        if room > 0 {
            room -= rows(visit::forget_before(tx, cutoff, room)?);
        }
        swept.more = room <= 0;
        Ok(swept)
    }
}

/// What is due to expire: inbox by inbox, each whole, since a revision is never cut.
fn expired(tx: &mut Tx<'_>, room: &mut i64, swept: &mut Swept) -> Result<(), Failure> {
    // The search below is in the table.
    tx.flush()?;
    while *room > 0 {
        let next = tx
            .conn
            .prepare_cached(
                "SELECT u FROM inbox INDEXED BY inbox_due WHERE next_expiry <= ?1 ORDER BY next_expiry LIMIT 1",
            )?
            .query_row([tx.now.as_millis()], |row| row.get(0))
            .optional()?;
        let Some(u) = next else { break };
        let mut inbox = tx.inbox(u)?;
        let gone = expire(tx, &mut inbox)?;
        tx.flush()?;
        swept.expired += gone;
        *room -= bound(gone.max(1));
    }
    Ok(())
}

/// What is older than retention, archived or not. Bodies lie in the order they came, so this walks them once and
/// remembers how far it is.
fn retired(tx: &mut Tx<'_>, cutoff: i64, room: &mut i64, swept: &mut Swept) -> Result<(), Failure> {
    if *room <= 0 {
        return Ok(());
    }
    let reached: Option<i64> = tx
        .conn
        .prepare_cached("SELECT value FROM meta WHERE key = 'retired'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let mut reached = reached.unwrap_or(0);
    let mut inboxes: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let before = reached;
    {
        let mut statement = tx
            .conn
            .prepare_cached("SELECT b, u, seq, created_at FROM body WHERE b > ?1 ORDER BY b LIMIT ?2")?;
        let mut rows = statement.query((reached, *room))?;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(3)? >= cutoff {
                break;
            }
            reached = row.get(0)?;
            inboxes.entry(row.get(1)?).or_default().push(row.get(2)?);
            *room -= 1;
        }
    }
    for (u, seqs) in inboxes {
        let mut inbox = tx.inbox(u)?;
        swept.expired += expire(tx, &mut inbox)?;
        let mut old = Vec::new();
        for seq in seqs {
            let found = tx
                .conn
                .prepare_cached(&format!(
                    "SELECT {FOUND} FROM item AS i JOIN body AS b ON b.b = i.body \
                     WHERE i.u = ?1 AND i.seq = ?2 AND i.deleted_at IS NULL"
                ))?
                .query_row((u, seq), state::found)
                .optional()?;
            old.extend(found);
        }
        if !old.is_empty() {
            state::change(tx, &mut inbox, MarkOp::Delete, &old, None)?;
            swept.retired += old.len() as u64;
        }
    }
    if reached > before {
        tx.conn
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('retired', ?1)")?
            .execute([reached])?;
    }
    Ok(())
}

/// Tombstones older than retention. A cursor below the revision of one that is gone would miss that deletion, so the
/// floor rises to it in the same transaction.
fn purged(tx: &mut Tx<'_>, cutoff: i64, room: &mut i64, swept: &mut Swept) -> Result<(), Failure> {
    if *room <= 0 {
        return Ok(());
    }
    let old: Vec<(i64, i64, u64, i64)> = tx
        .conn
        .prepare_cached(
            "SELECT u, seq, rev, body FROM item INDEXED BY item_deleted \
             WHERE deleted_at < ?1 ORDER BY deleted_at LIMIT ?2",
        )?
        .query_map((cutoff, *room), |row| Ok((row.get(0)?, row.get(1)?, number(row, 2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    for (u, seq, rev, body) in old {
        tx.conn.prepare_cached("DELETE FROM item WHERE u = ?1 AND seq = ?2")?.execute((u, seq))?;
        tx.conn.prepare_cached("DELETE FROM body WHERE b = ?1")?.execute([body])?;
        let mut inbox = tx.inbox(u)?;
        if rev > inbox.floor {
            inbox.floor = rev;
            tx.save(inbox);
        }
        swept.purged += 1;
        *room -= 1;
    }
    Ok(())
}

/// Devices that were not seen for as long as notifications are kept.
fn devices(tx: &mut Tx<'_>, cutoff: i64, room: &mut i64) -> Result<(), Failure> {
    if *room <= 0 {
        return Ok(());
    }
    let unseen: Vec<(i64, String)> = tx
        .conn
        .prepare_cached(
            "SELECT u, device_id FROM device INDEXED BY device_seen \
             WHERE last_seen_day <= ?1 AND last_seen_at < ?2 LIMIT ?3",
        )?
        .query_map((day_of(cutoff), cutoff, *room), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (u, device) in unseen {
        forget(tx, u, &device)?;
        // An older version kept inboxes that had nothing, for their devices.
        let gone = tx
            .conn
            .prepare_cached(
                "DELETE FROM inbox WHERE u = ?1 AND head = 0 AND NOT EXISTS (SELECT 1 FROM device WHERE u = ?1)",
            )?
            .execute([u])?;
        if gone > 0 {
            tx.forget_inbox(u);
        }
        *room -= 1;
    }
    Ok(())
}

/// Idempotency keys past their time.
fn idempotency_keys(tx: &mut Tx<'_>, room: &mut i64) -> Result<(), Failure> {
    if *room <= 0 {
        return Ok(());
    }
    let gone = tx
        .conn
        .prepare_cached(
            "DELETE FROM idempotency WHERE key IN \
             (SELECT key FROM idempotency WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2)",
        )?
        .execute((tx.now.before(IDEMPOTENCY_TTL).as_millis(), *room))?;
    *room -= rows(gone);
    Ok(())
}
