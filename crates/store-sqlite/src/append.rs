use crate::edit::to_json;
use crate::expire::expire;
use crate::failure::Failure;
use crate::number::bound;
use crate::state::{self, FOUND};
use crate::transaction::{Inbox, Tx};
use crate::writer::Operation;
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;
use tidings_domain::{Kind, MarkOp, Notification, NotificationId, State, Timestamp, UserId};
use tidings_store::{Appended, Fingerprint, IDEMPOTENCY_TTL, Idempotency, Outgoing, Receipt, StoreError};

/// Stores all or none, each as the newest of its inbox.
pub(crate) struct Append {
    outgoing: Vec<Outgoing>,
    /// The contents as they will lie in the file; written by the caller's thread, since the writer is the narrow place.
    texts: Vec<Arc<str>>,
    idempotency: Option<Idempotency>,
}

impl Append {
    pub(crate) fn new(outgoing: Vec<Outgoing>, idempotency: Option<Idempotency>) -> Result<Self, StoreError> {
        let mut texts: Vec<Arc<str>> = Vec::with_capacity(outgoing.len());
        for (index, item) in outgoing.iter().enumerate() {
            let text = match index.checked_sub(1) {
                // A send to many shares its content.
                Some(before) if Arc::ptr_eq(&outgoing[before].content, &item.content) => {
                    texts[before].clone()
                }
                _ => to_json(&item.content).map_err(Failure::into_store_error)?.into(),
            };
            texts.push(text);
        }
        Ok(Self { outgoing, texts, idempotency })
    }
}

impl Operation for Append {
    type Answer = Appended;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Appended, Failure> {
        if let Some(idempotency) = &self.idempotency
            && let Some(replayed) = replay(tx.conn, idempotency, tx.now)?
        {
            return Ok(replayed);
        }
        let mut receipts = Vec::with_capacity(self.outgoing.len());
        for (outgoing, text) in self.outgoing.iter().zip(&self.texts) {
            receipts.push(append(tx, outgoing, text)?);
        }
        if let Some(idempotency) = &self.idempotency {
            remember(tx, idempotency, &receipts)?;
        }
        Ok(Appended::Stored(receipts))
    }

    fn bytes(&self) -> usize {
        self.texts.iter().map(|text| text.len() + 128).sum::<usize>()
            + self.idempotency.as_ref().map_or(0, |idempotency| idempotency.note.len())
    }
}

fn append(tx: &mut Tx<'_>, outgoing: &Outgoing, text: &str) -> Result<Receipt, Failure> {
    let mut inbox = tx.find_or_create(&outgoing.user_id)?;
    expire(tx, &mut inbox)?;
    if let Some(key) = outgoing.collapse_key.as_deref() {
        collapse(tx, &mut inbox, key)?;
    }
    let seq = inbox.advance();
    let (b, now) = (tx.known.next_body, tx.now.as_millis());
    tx.known.next_body += 1;
    let id = outgoing.id;
    tx.conn
        .prepare_cached(
            "INSERT INTO body (b, id, u, seq, created_at, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((b, id.as_bytes(), inbox.u, bound(seq), now, text))?;
    tx.conn
        .prepare_cached(
            "INSERT INTO item (u, seq, rev, body, created_at, category, expires_at, collapse_key) \
             VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            inbox.u,
            bound(seq),
            b,
            now,
            outgoing.content.category.as_deref(),
            outgoing.expires_at.map(|at| at.as_millis()),
            outgoing.collapse_key.as_deref(),
        ))?;
    inbox.counted.total += 1;
    inbox.counted.unread += 1;
    inbox.counted.unseen += 1;
    inbox.expects(outgoing.expires_at);
    let notification = Notification {
        id,
        user_id: inbox.user_id.clone(),
        seq,
        rev: seq,
        content: (*outgoing.content).clone(),
        state: State::default(),
        timestamp: tx.now,
        edited_at: None,
        expires_at: outgoing.expires_at,
    };
    tx.announce(&inbox, Kind::Sent(Box::new(notification)))?;
    let user_id = inbox.user_id.clone();
    tx.save(inbox);
    Ok(Receipt { user_id, id, seq })
}

/// Deletes what the newcomer replaces.
fn collapse(tx: &mut Tx<'_>, inbox: &mut Inbox, key: &str) -> Result<(), Failure> {
    let replaced = tx
        .conn
        .prepare_cached(&format!(
            "SELECT {FOUND} FROM item AS i INDEXED BY item_collapsible JOIN body AS b ON b.b = i.body \
             WHERE i.u = ?1 AND i.collapse_key = ?2 AND i.deleted_at IS NULL AND i.archived_at IS NULL \
             AND i.read_at IS NULL"
        ))?
        .query_map((inbox.u, key), state::found)?
        .collect::<Result<Vec<_>, _>>()?;
    if replaced.is_empty() { Ok(()) } else { state::change(tx, inbox, MarkOp::Delete, &replaced, None) }
}

/// The first answer under this key, if it is known and young enough.
pub(crate) fn replay(
    conn: &Connection,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Result<Option<Appended>, Failure> {
    let first = conn
        .prepare_cached(
            "SELECT fingerprint, receipts, note FROM idempotency WHERE key = ?1 AND created_at > ?2",
        )?
        .query_row((&idempotency.key, now.before(IDEMPOTENCY_TTL).as_millis()), |row| {
            Ok((row.get::<_, Fingerprint>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    let Some((fingerprint, receipts, note)) = first else { return Ok(None) };
    if fingerprint != idempotency.fingerprint {
        return Err(StoreError::IdempotencyMismatch.into());
    }
    let receipts = read_receipts(&receipts)
        .ok_or_else(|| Failure::Damaged("the receipts of an idempotency key cannot be read".to_owned()))?;
    Ok(Some(Appended::Replayed { receipts, note }))
}

fn remember(tx: &Tx<'_>, idempotency: &Idempotency, receipts: &[Receipt]) -> Result<(), Failure> {
    tx.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO idempotency (key, fingerprint, receipts, note, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            &idempotency.key,
            idempotency.fingerprint,
            write_receipts(receipts),
            &idempotency.note,
            tx.now.as_millis(),
        ))?;
    Ok(())
}

/// `[["ana", "0198c0de-…", 41], …]`
pub(crate) fn write_receipts(receipts: &[Receipt]) -> String {
    let rows = receipts
        .iter()
        .map(|receipt| serde_json::json!([receipt.user_id.as_str(), receipt.id.to_string(), receipt.seq]));
    serde_json::Value::Array(rows.collect()).to_string()
}

pub(crate) fn read_receipts(text: &str) -> Option<Vec<Receipt>> {
    let rows: Vec<(String, String, u64)> = serde_json::from_str(text).ok()?;
    rows.into_iter()
        .map(|(user, id, seq)| {
            Some(Receipt { user_id: UserId::stored(&user).ok()?, id: NotificationId::parse(&id)?, seq })
        })
        .collect()
}
