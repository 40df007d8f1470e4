use crate::failure::Failure;
use crate::locate::{Standing, standing};
use crate::number::{bound, number};
use crate::rows::{self, ENTRY};
use rusqlite::{Connection, Rows};
use tidings_domain::{Entry, Revision, Timestamp, UserId};
use tidings_store::{Changes, ChangesQuery, Gather, Inside, Resync, StoreError};

/// The inbox's log above `since`.
///
/// Two streams that are each in order of revision are merged: what never changed, by the primary key (its revision is its
/// `seq`), and what did, by `item_changed`. Everything created above `since` has its revision above it too, so neither
/// stream walks more than the log above `since` holds.
pub(crate) fn changes(
    conn: &Connection,
    user: &UserId,
    query: ChangesQuery,
    now: Timestamp,
) -> Result<Changes, Failure> {
    let standing = standing(conn, user, now)?;
    let (head, floor, counts) = standing
        .as_ref()
        .map_or_else(Default::default, |standing| (standing.head, standing.floor, standing.counts));
    if query.since > head || query.inside.is_some_and(|inside| inside.rev > head) {
        return Err(StoreError::ResyncRequired(Resync::AboveHead).into());
    }
    if query.since < floor {
        return Err(StoreError::ResyncRequired(Resync::BelowFloor).into());
    }
    let mut page = Gather::new(query);
    if let Some(Standing { u, .. }) = standing.filter(|_| query.since < head) {
        match query.inside {
            None => log(conn, user, u, query.since, &mut page)?,
            Some(inside) => rest(conn, user, u, inside, &mut page)?,
        }
    }
    let (entries, cursor, next) = page.finish(head);
    Ok(Changes { has_more: cursor < head, entries, cursor, next, head, counts })
}

/// Everything above `since`, until the page is full.
fn log(conn: &Connection, user: &UserId, u: i64, since: Revision, page: &mut Gather) -> Result<(), Failure> {
    let mut unchanged = conn.prepare_cached(&format!(
        "SELECT {ENTRY} FROM item AS i CROSS JOIN body AS b ON b.b = i.body \
         WHERE i.u = ?1 AND i.seq > ?2 AND i.rev = i.seq ORDER BY i.seq"
    ))?;
    let mut changed = conn.prepare_cached(&format!(
        "SELECT {ENTRY} FROM item AS i INDEXED BY item_changed CROSS JOIN body AS b ON b.b = i.body \
         WHERE i.u = ?1 AND i.rev > ?2 AND i.rev <> i.seq ORDER BY i.rev, i.seq"
    ))?;
    let at = (u, bound(since));
    let mut unchanged = Stream::new(unchanged.query(at)?, user)?;
    let mut changed = Stream::new(changed.query(at)?, user)?;
    loop {
        let stream = match (unchanged.rev(), changed.rev()) {
            (Some(one), Some(other)) if one < other => &mut unchanged,
            (Some(_), None) => &mut unchanged,
            _ => &mut changed,
        };
        let Some(entry) = stream.take()? else { return Ok(()) };
        if !page.take(entry) {
            return Ok(());
        }
    }
}

/// What is left of one revision. Only a change of state touches several, so all of them have changed.
fn rest(conn: &Connection, user: &UserId, u: i64, inside: Inside, page: &mut Gather) -> Result<(), Failure> {
    let mut changed = conn.prepare_cached(&format!(
        "SELECT {ENTRY} FROM item AS i INDEXED BY item_changed CROSS JOIN body AS b ON b.b = i.body \
         WHERE i.u = ?1 AND i.rev = ?2 AND i.rev <> i.seq AND i.seq > ?3 ORDER BY i.seq"
    ))?;
    let mut rows = changed.query((u, bound(inside.rev), bound(inside.seq)))?;
    while let Some(row) = rows.next()? {
        if !page.take(rows::entry(row, user)?) {
            break;
        }
    }
    Ok(())
}

/// What was created above `since` and up to `up_to` and has changed above that.
pub(crate) fn moved(
    conn: &Connection,
    user: &UserId,
    since: Revision,
    up_to: Revision,
) -> Result<Vec<Revision>, Failure> {
    let mut moved = conn.prepare_cached(
        "SELECT i.seq FROM inbox AS x JOIN item AS i ON i.u = x.u WHERE x.user_id = ?1 \
         AND i.seq > ?2 AND i.seq <= ?3 AND i.rev > ?3 AND i.deleted_at IS NULL ORDER BY i.seq LIMIT 10000",
    )?;
    let seqs = moved.query_map((user.as_str(), bound(since), bound(up_to)), |row| number(row, 0))?;
    Ok(seqs.collect::<Result<_, _>>()?)
}

/// Rows in order of revision, the next one known.
struct Stream<'a> {
    rows: Rows<'a>,
    user: &'a UserId,
    next: Option<Entry>,
}

impl<'a> Stream<'a> {
    fn new(rows: Rows<'a>, user: &'a UserId) -> Result<Self, Failure> {
        let mut stream = Self { rows, user, next: None };
        stream.take()?;
        Ok(stream)
    }

    fn rev(&self) -> Option<Revision> {
        self.next.as_ref().map(Entry::rev)
    }

    /// The next one.
    fn take(&mut self) -> Result<Option<Entry>, Failure> {
        let following = self.rows.next()?.map(|row| rows::entry(row, self.user)).transpose()?;
        Ok(std::mem::replace(&mut self.next, following))
    }
}
