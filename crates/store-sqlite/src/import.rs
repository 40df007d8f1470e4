//! Filling a new store with what came out of another one.
//!
//! The file is filled under a name of its own and renamed when it is whole and on the disk, as a new store is. Until then
//! no store is there, and where an import was cut off none is made: see [`OpenError::Unfinished`]. Since nothing of a
//! draft is kept, nothing of it need be synced before its end.

use crate::append::write_receipts;
use crate::backup::{finish, refuse_existing, remove};
use crate::edit::to_json;
use crate::failure::Failure;
use crate::number::bound;
use crate::open::{IMPORT, NAME, OpenError, connect, lock, refuse_orphaned_log};
use crate::register::day_of;
use crate::{private, schema};
use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, Transaction};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use tidings_domain::{NotificationId, Revision, Timestamp, UserId};
use tidings_store::StoreError;
use tidings_store::transfer::{
    DeviceRecord, Inbox, ItemRecord, KeyRecord, Sink, Slice, TombstoneRecord, TransferError,
};

/// Begins to fill a new store in `dir`, where there is none; what an import that was cut off has left there goes. Blocks
/// the calling thread while it writes: an import is a process of its own.
pub fn import(dir: &Path) -> Result<impl Sink + use<>, OpenError> {
    private::folder(dir).map_err(|error| OpenError::io(dir, &error))?;
    let lock = lock(dir)?;
    let to = dir.join(NAME);
    refuse_existing(&to)?;
    refuse_orphaned_log(&to)?;
    let draft = dir.join(IMPORT);
    remove(&draft)?;
    let sqlite = |error| OpenError::sqlite(&draft, error);
    private::file(&draft).map_err(|error| OpenError::io(&draft, &error))?;
    let mut conn = connect(&draft).map_err(sqlite)?;
    conn.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;").map_err(sqlite)?;
    conn.query_row("PRAGMA journal_mode = MEMORY", [], |_| Ok(())).map_err(sqlite)?;
    schema::migrate(&mut conn).map_err(sqlite)?;
    Ok(Import { conn, draft, to, users: HashMap::new(), next_user: 1, _lock: lock })
}

struct Import {
    conn: Connection,
    draft: PathBuf,
    to: PathBuf,
    /// The inboxes of which only a part has come.
    users: HashMap<UserId, i64>,
    next_user: i64,
    /// For as long as this is under way.
    _lock: File,
}

#[async_trait]
impl Sink for Import {
    async fn put(&mut self, slice: Slice) -> Result<(), TransferError> {
        let Self { conn, users, next_user, .. } = self;
        let users = Users { known: users, next: next_user };
        let tx = conn.transaction().map_err(|error| failed(error.into()))?;
        put(&tx, users, &slice)?;
        tx.commit().map_err(|error| failed(error.into()))
    }

    async fn finish(self: Box<Self>) -> Result<(), TransferError> {
        let Self { conn, draft, to, _lock, .. } = *self;
        conn.close().map_err(|(_, error)| failed(error.into()))?;
        finish(&draft, &to).map_err(|error| TransferError::Store(StoreError::Unavailable(error.to_string())))
    }

    async fn abandon(self: Box<Self>) {
        let Self { conn, draft, _lock, .. } = *self;
        drop(conn);
        if let Err(error) = remove(&draft) {
            tracing::warn!(%error, "an import was given up, but what there is of it stays");
        }
    }
}

/// The numbers of inboxes.
struct Users<'a> {
    known: &'a mut HashMap<UserId, i64>,
    next: &'a mut i64,
}

impl Users<'_> {
    fn number(&mut self, user: &UserId) -> i64 {
        if let Some(u) = self.known.get(user) {
            return *u;
        }
        let u = *self.next;
        *self.next += 1;
        self.known.insert(user.clone(), u);
        u
    }
}

fn put(tx: &Transaction<'_>, mut users: Users<'_>, slice: &Slice) -> Result<(), TransferError> {
    for item in &slice.items {
        put_item(tx, users.number(&item.user_id), item)?;
    }
    for tombstone in &slice.tombstones {
        put_tombstone(tx, users.number(&tombstone.user_id), tombstone)?;
    }
    for device in &slice.devices {
        put_device(tx, users.number(&device.user_id), device)?;
    }
    for inbox in &slice.inboxes {
        let user = &inbox.record.user_id;
        put_inbox(tx, users.number(user), inbox).map_err(failed)?;
        users.known.remove(user);
    }
    for revocation in &slice.revocations {
        tx.prepare_cached("INSERT INTO revocation (user_id, at) VALUES (?1, ?2)")
            .and_then(|mut insert| insert.execute((revocation.user_id.as_str(), revocation.at.as_millis())))
            .map_err(|error| failed(error.into()))?;
    }
    for key in &slice.keys {
        put_key(tx, key).map_err(failed)?;
    }
    Ok(())
}

fn put_item(tx: &Transaction<'_>, u: i64, item: &ItemRecord) -> Result<(), TransferError> {
    let text = to_json(&item.content).map_err(failed)?;
    let b = put_body(tx, u, item.seq, item.id, item.created_at, &text)?;
    let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    let insert = || {
        tx.prepare_cached(
            "INSERT INTO item (u, seq, rev, body, created_at, category, delivered_at, seen_at, read_at, archived_at, \
             edited_at, expires_at, collapse_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute((
            u,
            bound(item.seq),
            bound(item.rev),
            b,
            item.created_at.as_millis(),
            item.content.category.as_deref(),
            millis(item.state.delivered_at),
            millis(item.state.seen_at),
            millis(item.state.read_at),
            millis(item.state.archived_at),
            millis(item.edited_at),
            millis(item.expires_at),
            item.collapse_key.as_deref(),
        ))
    };
    insert().map_err(|error| failed(error.into()))?;
    Ok(())
}

fn put_tombstone(tx: &Transaction<'_>, u: i64, tombstone: &TombstoneRecord) -> Result<(), TransferError> {
    let TombstoneRecord { id, seq, rev, created_at, deleted_at, .. } = tombstone;
    let b = put_body(tx, u, *seq, *id, *created_at, "")?;
    let insert = || {
        tx.prepare_cached(
            "INSERT INTO item (u, seq, rev, body, created_at, deleted_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((u, bound(*seq), bound(*rev), b, created_at.as_millis(), deleted_at.as_millis()))
    };
    insert().map_err(|error| failed(error.into()))?;
    Ok(())
}

/// Bodies lie in the order in which they were created, across inboxes, since retention walks them so. What comes here
/// comes inbox by inbox: a body's number is therefore made of the moment it was created.
fn put_body(
    tx: &Transaction<'_>,
    u: i64,
    seq: Revision,
    id: NotificationId,
    created_at: Timestamp,
    text: &str,
) -> Result<i64, TransferError> {
    let b = free_body(tx, created_at).map_err(|error| failed(error.into()))?;
    let insert = || {
        tx.prepare_cached(
            "INSERT INTO body (b, id, u, seq, created_at, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((b, id.as_bytes(), u, bound(seq), created_at.as_millis(), text))
    };
    insert().map_err(|error| once(error, || format!("the notification {id}")))?;
    Ok(b)
}

/// How many bodies of one millisecond have a number of their own; the others take the next one's, which does no harm.
const BODIES_A_MILLISECOND: i64 = 1 << 12;

fn free_body(tx: &Transaction<'_>, created_at: Timestamp) -> rusqlite::Result<i64> {
    let mut first = created_at.as_millis().max(0).saturating_mul(BODIES_A_MILLISECOND) + 1;
    let mut last = tx.prepare_cached("SELECT max(b) FROM body WHERE b >= ?1 AND b < ?1 + ?2")?;
    loop {
        match last.query_row((first, BODIES_A_MILLISECOND), |row| row.get::<_, Option<i64>>(0))? {
            None => return Ok(first),
            Some(taken) if taken + 1 < first + BODIES_A_MILLISECOND => return Ok(taken + 1),
            Some(_) => first += BODIES_A_MILLISECOND,
        }
    }
}

fn put_device(tx: &Transaction<'_>, u: i64, device: &DeviceRecord) -> Result<(), TransferError> {
    let (name, seen) = (device.device_id.as_str(), device.last_seen_at.as_millis());
    let insert = || {
        tx.prepare_cached(
            "INSERT INTO device (u, device_id, cursor, last_seen_at, last_seen_day, transport) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((u, name, bound(device.cursor), seen, day_of(seen), &device.transport))
    };
    insert().map_err(|error| failed(error.into()))?;
    for connection in &device.connections {
        let (pid, at) = (&connection.pid, connection.at.as_millis());
        let insert = || {
            tx.prepare_cached("INSERT INTO registration (pid, u, device_id, at) VALUES (?1, ?2, ?3, ?4)")?
                .execute((pid, u, name, at))
        };
        insert().map_err(|error| once(error, || format!("the connection {pid}")))?;
    }
    Ok(())
}

fn put_inbox(tx: &Transaction<'_>, u: i64, inbox: &Inbox) -> Result<(), Failure> {
    let record = &inbox.record;
    tx.prepare_cached(
        "INSERT INTO inbox (u, user_id, head, floor, total, unread, unseen, confirmed, settled, next_expiry) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        u,
        record.user_id.as_str(),
        bound(record.head),
        bound(record.floor),
        bound(inbox.counts.total),
        bound(inbox.counts.unread),
        bound(inbox.counts.unseen),
        bound(record.confirmed),
        bound(inbox.settled),
        inbox.next_expiry.map(Timestamp::as_millis),
    ))?;
    Ok(())
}

fn put_key(tx: &Transaction<'_>, key: &KeyRecord) -> Result<(), Failure> {
    tx.prepare_cached(
        "INSERT INTO idempotency (key, fingerprint, receipts, note, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        &key.key,
        key.fingerprint,
        write_receipts(&key.receipts),
        &key.note,
        key.created_at.as_millis(),
    ))?;
    Ok(())
}

fn failed(failure: Failure) -> TransferError {
    TransferError::Store(failure.into_store_error())
}

/// The table says that something is there already.
fn once(error: rusqlite::Error, what: impl FnOnce() -> String) -> TransferError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => TransferError::Twice(what()),
        _ => failed(error.into()),
    }
}
