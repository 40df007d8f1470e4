//! The layout of the file, and how an older one becomes the present one.
//!
//! - `item` is the mutable part of a notification, narrow and clustered by inbox: listing, marking and counting touch a
//!   few neighbouring pages whatever the texts weigh.
//! - `body` is the text, appended in order of arrival, so that a send to any of a million inboxes writes it at the same
//!   right edge.
//! - `inbox` holds the counters; they change in the transaction that changes what they count.
//!
//! `item_changed` holds only what changed after it was created (`rev <> seq`). What did not is found by the primary key,
//! since its revision is its `seq`. A send therefore maintains no index for the log.

use rusqlite::{Connection, Result};

/// "Tdgs": says in the file's header whose file it is.
pub(crate) const APPLICATION_ID: i32 = 0x5464_6773;

/// One step a version; what was released is never edited.
const STEPS: [&str; 4] = [
    "
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    u INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL UNIQUE,
    head INTEGER NOT NULL DEFAULT 0,
    floor INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    unread INTEGER NOT NULL DEFAULT 0,
    unseen INTEGER NOT NULL DEFAULT 0,
    -- The furthest that any device has confirmed.
    confirmed INTEGER NOT NULL DEFAULT 0,
    -- Every live item with a revision up to here is delivered.
    settled INTEGER NOT NULL DEFAULT 0,
    -- No live item expires before this; NULL: none expires at all.
    next_expiry INTEGER
) STRICT;
CREATE INDEX inbox_due ON inbox (next_expiry) WHERE next_expiry IS NOT NULL;

CREATE TABLE item (
    u INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    body INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    category TEXT,
    delivered_at INTEGER,
    seen_at INTEGER,
    read_at INTEGER,
    archived_at INTEGER,
    deleted_at INTEGER,
    edited_at INTEGER,
    expires_at INTEGER,
    collapse_key TEXT,
    PRIMARY KEY (u, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_changed ON item (u, rev) WHERE rev <> seq;
CREATE INDEX item_expiring ON item (u, expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX item_collapsible ON item (u, collapse_key) WHERE collapse_key IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX item_deleted ON item (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE body (
    b INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    u INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    content TEXT NOT NULL
) STRICT;

CREATE TABLE device (
    u INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    -- last_seen_at in whole days: what upkeep searches by, so that being seen seldom moves an index entry.
    last_seen_day INTEGER NOT NULL,
    transport TEXT NOT NULL,
    PRIMARY KEY (u, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_seen ON device (last_seen_day);

CREATE TABLE registration (
    pid TEXT PRIMARY KEY,
    u INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX registration_device ON registration (u, device_id, at);

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    receipts TEXT NOT NULL,
    note BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_age ON idempotency (created_at);
",
    "
CREATE TABLE revocation (
    user_id TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revocation_age ON revocation (at);
",
    // Nothing is kept of an inbox that has nothing, but for the registrations of connections. Ends of sessions do not age.
    "
DROP INDEX revocation_age;
CREATE TABLE visitor (
    pid TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX visitor_user ON visitor (user_id, device_id, at);
CREATE INDEX visitor_age ON visitor (at);
DELETE FROM inbox WHERE head = 0 AND NOT EXISTS (SELECT 1 FROM device WHERE device.u = inbox.u);
",
    "
-- What the device's last resume had not brought as new yet, see Moved in the domain.
ALTER TABLE device ADD COLUMN resume TEXT;
",
];

/// The version of the layout that this program writes, in the file's `user_version`.
pub(crate) const VERSION: i32 = STEPS.len() as i32;

/// Brings a file of any older version to the present one, all of it or nothing.
pub(crate) fn migrate(conn: &mut Connection) -> Result<()> {
    let found: i32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = STEPS.iter().skip(usize::try_from(found).unwrap_or(0));
    if missing.len() == 0 {
        return Ok(());
    }
    let tx = conn.transaction()?;
    for step in missing {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_files_inboxes_that_have_nothing_go_unless_a_device_waits_there() {
        let mut conn = Connection::open_in_memory().unwrap();
        STEPS[..2].iter().for_each(|step| conn.execute_batch(step).unwrap());
        conn.pragma_update(None, "user_version", 2).unwrap();
        conn.execute_batch(
            "INSERT INTO inbox (u, user_id, head) VALUES (1, 'nothing', 0), (2, 'device', 0), (3, 'something', 4);
             INSERT INTO device VALUES (2, 'phone', 0, 0, 0, 'sse');",
        )
        .unwrap();
        migrate(&mut conn).unwrap();
        let left: String = conn
            .query_row("SELECT group_concat(user_id ORDER BY u) FROM inbox", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, "device,something");
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        migrate(&mut conn).unwrap();
        let version: i32 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, VERSION);
    }
}
