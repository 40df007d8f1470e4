//! Reading everything out, for another store.

use crate::append::read_receipts;
use crate::failure::Failure;
use crate::number::{number, rows as row_count};
use crate::open::{NAME, OpenError, connect, has_log};
use crate::schema::VERSION;
use crate::{header, rows};
use async_trait::async_trait;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Row};
use std::path::Path;
use tidings_domain::{Timestamp, UserId};
use tidings_store::transfer::{
    self, DeviceRecord, InboxRecord, ItemRecord, KeyRecord, Record, RevocationRecord, Source, TombstoneRecord,
};
use tidings_store::{IDEMPOTENCY_TTL, StoreError};

/// How many records are read at a time, about.
const PAGE: usize = 500;

/// Reads the store in `dir`, whole and of one moment, also while a server writes to it; what comes is of the moment of the
/// first read. The write-ahead log grows until the export has ended. Blocks the calling thread while it reads: an export
/// is a process of its own. Idempotency keys past their time at `now` are left out.
pub fn export(dir: &Path, now: Timestamp) -> Result<impl Source + use<>, OpenError> {
    let path = dir.join(NAME);
    header::check(&path, has_log(&path))?;
    let sqlite = |error| OpenError::sqlite(&path, error);
    let conn = connect(&path).map_err(sqlite)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    conn.execute_batch("PRAGMA query_only = TRUE; BEGIN").map_err(sqlite)?;
    let version: i32 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite)?;
    if version < VERSION {
        return Err(OpenError::Older { path });
    }
    Ok(Export { conn, oldest_key: now.before(IDEMPOTENCY_TTL), at: At::Inbox { after: String::new() } })
}

/// A walk through the file, in one read transaction.
struct Export {
    conn: Connection,
    oldest_key: Timestamp,
    at: At,
}

/// What is read next.
enum At {
    /// The inbox after this one.
    Inbox { after: String },
    /// What this one holds above a `seq`.
    Items { u: i64, inbox: InboxRecord, above: i64 },
    /// This one's devices, and then itself.
    Devices { u: i64, inbox: InboxRecord },
    /// Ends of sessions after this user's.
    Revocations { after: String },
    /// The idempotency key after this one.
    Key { after: String },
    /// Nothing.
    End,
}

#[async_trait]
impl Source for Export {
    async fn size(&mut self) -> Result<u64, StoreError> {
        let counted = self.conn.query_row("SELECT count(*) FROM item", [], |row| number(row, 0));
        counted.map_err(|error| Failure::from(error).into_store_error())
    }

    async fn next(&mut self) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        while records.len() < PAGE && !matches!(self.at, At::End) {
            self.step(&mut records).map_err(Failure::into_store_error)?;
        }
        Ok(records)
    }
}

impl Export {
    fn step(&mut self, records: &mut Vec<Record>) -> Result<(), Failure> {
        let conn = &self.conn;
        self.at = match std::mem::replace(&mut self.at, At::End) {
            At::Inbox { after } => match next_inbox(conn, &after)? {
                Some((u, inbox)) => At::Items { u, inbox, above: 0 },
                None => At::Revocations { after: String::new() },
            },
            At::Items { u, inbox, above } => match items(conn, u, &inbox.user_id, above, records)? {
                Some(above) => At::Items { u, inbox, above },
                None => At::Devices { u, inbox },
            },
            At::Devices { u, inbox } => {
                devices(conn, u, &inbox.user_id, records)?;
                let after = inbox.user_id.as_str().to_owned();
                records.push(Record::Inbox(inbox));
                At::Inbox { after }
            }
            At::Revocations { after } => match revocations(conn, &after, records)? {
                Some(after) => At::Revocations { after },
                None => At::Key { after: String::new() },
            },
            At::Key { after } => match next_key(conn, &after, self.oldest_key)? {
                Some(record) => {
                    let after = record.key.clone();
                    records.push(Record::Idempotency(record));
                    At::Key { after }
                }
                None => At::End,
            },
            At::End => At::End,
        };
        Ok(())
    }
}

fn next_inbox(conn: &Connection, after: &str) -> Result<Option<(i64, InboxRecord)>, Failure> {
    let found = conn
        .prepare_cached(
            "SELECT u, user_id, head, floor, confirmed FROM inbox WHERE user_id > ?1 ORDER BY user_id LIMIT 1",
        )?
        .query_row([after], |row| {
            let user_id = rows::user(1, row.get_ref(1)?.as_str()?)?;
            let (head, floor, confirmed) = (number(row, 2)?, number(row, 3)?, number(row, 4)?);
            Ok((row.get(0)?, InboxRecord { user_id, head, floor, confirmed }))
        })
        .optional()?;
    Ok(found)
}

/// The next page of what an inbox holds. Where it goes on, if it does.
fn items(
    conn: &Connection,
    u: i64,
    user: &UserId,
    above: i64,
    records: &mut Vec<Record>,
) -> Result<Option<i64>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {}, i.collapse_key FROM item AS i CROSS JOIN body AS b ON b.b = i.body \
         WHERE i.u = ?1 AND i.seq > ?2 ORDER BY i.seq LIMIT ?3",
        rows::ENTRY
    ))?;
    let mut last = None;
    for found in
        statement.query_map((u, above, row_count(PAGE)), |row| Ok((row.get(1)?, item(row, user)?)))?
    {
        let (seq, record) = found?;
        records.push(record);
        last = Some(seq);
    }
    Ok(last)
}

/// Columns as in [`rows::ENTRY`], and then the collapse key.
fn item(row: &Row<'_>, user: &UserId) -> rusqlite::Result<Record> {
    let created_at = Timestamp::from_millis(row.get(3)?);
    if let Some(deleted_at) = row.get::<_, Option<i64>>(8)? {
        return Ok(Record::Tombstone(TombstoneRecord {
            user_id: user.clone(),
            id: rows::id(row, 0)?,
            seq: number(row, 1)?,
            rev: number(row, 2)?,
            created_at,
            deleted_at: Timestamp::from_millis(deleted_at),
        }));
    }
    let notification = rows::notification(row, user)?;
    Ok(Record::Notification(Box::new(ItemRecord {
        user_id: notification.user_id,
        id: notification.id,
        seq: notification.seq,
        rev: notification.rev,
        created_at,
        edited_at: notification.edited_at,
        expires_at: notification.expires_at,
        collapse_key: row.get(12)?,
        state: notification.state,
        content: notification.content,
    })))
}

fn devices(conn: &Connection, u: i64, user: &UserId, records: &mut Vec<Record>) -> Result<(), Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT device_id, cursor, last_seen_at, transport FROM device WHERE u = ?1 ORDER BY device_id",
    )?;
    let mut connections = conn.prepare_cached(
        "SELECT pid, at FROM registration WHERE u = ?1 AND device_id = ?2 ORDER BY at, pid",
    )?;
    let found = statement.query_map([u], |row| {
        Ok(DeviceRecord {
            user_id: user.clone(),
            device_id: rows::device(0, row.get_ref(0)?.as_str()?)?,
            cursor: number(row, 1)?,
            last_seen_at: Timestamp::from_millis(row.get(2)?),
            transport: row.get(3)?,
            connections: Vec::new(),
        })
    })?;
    for device in found {
        let mut device = device?;
        device.connections = connections
            .query_map((u, device.device_id.as_str()), |row| {
                Ok(transfer::Connection { pid: row.get(0)?, at: Timestamp::from_millis(row.get(1)?) })
            })?
            .collect::<Result<_, _>>()?;
        records.push(Record::Device(device));
    }
    Ok(())
}

/// The next page of ended sessions. Where it goes on, if it does.
fn revocations(conn: &Connection, after: &str, records: &mut Vec<Record>) -> Result<Option<String>, Failure> {
    let mut statement = conn
        .prepare_cached("SELECT user_id, at FROM revocation WHERE user_id > ?1 ORDER BY user_id LIMIT ?2")?;
    let mut last = None;
    for found in statement.query_map((after, row_count(PAGE)), |row| {
        let user_id = rows::user(0, row.get_ref(0)?.as_str()?)?;
        Ok(RevocationRecord { user_id, at: Timestamp::from_millis(row.get(1)?) })
    })? {
        let record = found?;
        last = Some(record.user_id.as_str().to_owned());
        records.push(Record::Revocation(record));
    }
    Ok(last)
}

/// One at a time: its note may weigh megabytes.
fn next_key(conn: &Connection, after: &str, oldest: Timestamp) -> Result<Option<KeyRecord>, Failure> {
    let found = conn
        .prepare_cached(
            "SELECT key, fingerprint, receipts, note, created_at FROM idempotency \
             WHERE key > ?1 AND created_at > ?2 ORDER BY key LIMIT 1",
        )?
        .query_row((after, oldest.as_millis()), |row| {
            let record = KeyRecord {
                key: row.get(0)?,
                fingerprint: row.get(1)?,
                receipts: Vec::new(),
                note: row.get(3)?,
                created_at: Timestamp::from_millis(row.get(4)?),
            };
            Ok((record, row.get::<_, String>(2)?))
        })
        .optional()?;
    let Some((record, receipts)) = found else { return Ok(None) };
    let receipts = read_receipts(&receipts)
        .ok_or_else(|| Failure::Damaged("the receipts of an idempotency key cannot be read".to_owned()))?;
    Ok(Some(KeyRecord { receipts, ..record }))
}
