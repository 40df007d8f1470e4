use crate::failure::Failure;
use crate::number::{bound, number};
use rusqlite::{Connection, OptionalExtension, Row};
use std::collections::BTreeMap;
use tidings_domain::{Change, Counts, Kind, Revision, Timestamp, UserId};
use tidings_store::{Recent, Visitors};

/// An inbox's row, as the writer holds it between the operations of one transaction.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    pub u: i64,
    pub user_id: UserId,
    pub head: Revision,
    pub floor: Revision,
    /// With what is due to expire and not swept yet; [`Tx::counts`] is without.
    pub counted: Counts,
    /// The furthest that any device has confirmed.
    pub confirmed: Revision,
    /// Every live item with a revision up to here is delivered.
    pub settled: Revision,
    pub next_expiry: Option<i64>,
}

impl Inbox {
    /// Takes the next revision.
    pub(crate) fn advance(&mut self) -> Revision {
        self.head += 1;
        self.head
    }

    /// Something will expire at `at`.
    pub(crate) fn expects(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            let at = at.as_millis();
            self.next_expiry = Some(self.next_expiry.map_or(at, |next| next.min(at)));
        }
    }
}

/// What the writer knows across transactions. It is the only one that writes, so what it knows stays true.
#[derive(Debug)]
pub(crate) struct Known {
    /// Where users' inboxes are.
    users: Recent<UserId, i64>,
    /// The next body. Never one that was used before: retirement walks bodies in this order, and only once.
    pub next_body: i64,
}

impl Known {
    /// How many users' it remembers; a user costs about 100 bytes.
    const USERS: usize = 100_000;

    pub(crate) fn load(conn: &Connection) -> Result<Self, Failure> {
        let last: i64 = conn.query_row(
            "SELECT max(coalesce((SELECT max(b) FROM body), 0), \
                        coalesce((SELECT value FROM meta WHERE key = 'retired'), 0))",
            [],
            |row| row.get(0),
        )?;
        Ok(Self { users: Recent::new(Self::USERS), next_body: last + 1 })
    }

    /// After a rollback: inboxes that it created do not exist.
    pub(crate) fn forget(&mut self) {
        self.users.clear();
    }
}

/// One transaction of the writer, as its operations see it.
///
/// Inbox rows are kept here until [`Tx::flush`], so that a group of operations on one inbox writes its row once. What
/// devices must learn is collected in order, for after the commit.
pub(crate) struct Tx<'a> {
    pub conn: &'a Connection,
    /// The present moment, one for each operation.
    pub now: Timestamp,
    pub known: &'a mut Known,
    /// Who attached to inboxes that are not there yet.
    pub visitors: &'a Visitors,
    inboxes: BTreeMap<i64, (Inbox, bool)>,
    changes: Vec<Change>,
    /// The users whose inboxes this transaction made.
    created: Vec<UserId>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(
        conn: &'a Connection,
        known: &'a mut Known,
        visitors: &'a Visitors,
        now: Timestamp,
    ) -> Self {
        let (inboxes, changes, created) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { conn, now, known, visitors, inboxes, changes, created }
    }

    /// The user's inbox, if there is one.
    pub(crate) fn find(&mut self, user: &UserId) -> Result<Option<Inbox>, Failure> {
        if let Some(&mut u) = self.known.users.get(user) {
            return self.inbox(u).map(Some);
        }
        let found = self
            .conn
            .prepare_cached(
                "SELECT u, user_id, head, floor, total, unread, unseen, confirmed, settled, next_expiry \
                 FROM inbox WHERE user_id = ?1",
            )?
            .query_row([user.as_str()], read)
            .optional()?;
        let Some(inbox) = found else { return Ok(None) };
        self.remember(user, inbox.u);
        // A later state may wait to be flushed.
        Ok(Some(self.inboxes.entry(inbox.u).or_insert((inbox, false)).0.clone()))
    }

    /// The user's inbox, made when there is none: only by what writes to it, since nothing is kept of one that has nothing.
    pub(crate) fn find_or_create(&mut self, user: &UserId) -> Result<Inbox, Failure> {
        if let Some(inbox) = self.find(user)? {
            return Ok(inbox);
        }
        self.conn.prepare_cached("INSERT INTO inbox (user_id) VALUES (?1)")?.execute([user.as_str()])?;
        let u = self.conn.last_insert_rowid();
        self.remember(user, u);
        self.created.push(user.clone());
        crate::visit::settle(self, u, user)?;
        self.inbox(u)
    }

    /// The inbox is not there any more.
    pub(crate) fn forget_inbox(&mut self, u: i64) {
        self.inboxes.remove(&u);
        self.known.forget();
    }

    fn remember(&mut self, user: &UserId, u: i64) {
        self.known.users.insert(user, u);
    }

    /// The inbox of that number.
    pub(crate) fn inbox(&mut self, u: i64) -> Result<Inbox, Failure> {
        if let Some((inbox, _)) = self.inboxes.get(&u) {
            return Ok(inbox.clone());
        }
        let inbox = self
            .conn
            .prepare_cached(
                "SELECT u, user_id, head, floor, total, unread, unseen, confirmed, settled, next_expiry \
                 FROM inbox WHERE u = ?1",
            )?
            .query_row([u], read)
            .optional()?
            .ok_or_else(|| Failure::Damaged(format!("inbox {u} is missing")))?;
        self.inboxes.insert(u, (inbox.clone(), false));
        Ok(inbox)
    }

    /// Keeps the inbox's new state.
    pub(crate) fn save(&mut self, inbox: Inbox) {
        self.inboxes.insert(inbox.u, (inbox, true));
    }

    /// Devices must learn this. It takes the inbox's head, so call it right after [`Inbox::advance`] and the counting.
    pub(crate) fn announce(&mut self, inbox: &Inbox, kind: Kind) -> Result<(), Failure> {
        let counts = self.counts(inbox)?;
        self.changes.push(Change { user_id: inbox.user_id.clone(), rev: inbox.head, counts, kind });
        Ok(())
    }

    /// The inbox's numbers at this moment.
    pub(crate) fn counts(&self, inbox: &Inbox) -> Result<Counts, Failure> {
        crate::counts::at(self.conn, inbox.u, inbox.counted, inbox.next_expiry, self.now)
    }

    /// Writes the inbox rows that changed.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if !self.inboxes.values().any(|(_, changed)| *changed) {
            return Ok(());
        }
        let mut update = self.conn.prepare_cached(
            "UPDATE inbox SET head = ?2, floor = ?3, total = ?4, unread = ?5, unseen = ?6, confirmed = ?7, \
             settled = ?8, next_expiry = ?9 WHERE u = ?1",
        )?;
        for (inbox, changed) in self.inboxes.values_mut().filter(|(_, changed)| *changed) {
            update.execute((
                inbox.u,
                bound(inbox.head),
                bound(inbox.floor),
                bound(inbox.counted.total),
                bound(inbox.counted.unread),
                bound(inbox.counted.unseen),
                bound(inbox.confirmed),
                bound(inbox.settled),
                inbox.next_expiry,
            ))?;
            *changed = false;
        }
        Ok(())
    }

    /// What was announced, in order, and the users whose inboxes were made.
    pub(crate) fn finish(self) -> (Vec<Change>, Vec<UserId>) {
        (self.changes, self.created)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Inbox> {
    let name: String = row.get(1)?;
    Ok(Inbox {
        u: row.get(0)?,
        user_id: crate::rows::user(1, &name)?,
        head: number(row, 2)?,
        floor: number(row, 3)?,
        counted: Counts { total: number(row, 4)?, unread: number(row, 5)?, unseen: number(row, 6)? },
        confirmed: number(row, 7)?,
        settled: number(row, 8)?,
        next_expiry: row.get(9)?,
    })
}
