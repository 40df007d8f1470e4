use crate::failure::Failure;
use crate::locate::standing;
use crate::number::bound;
use crate::rows::{self, ENTRY};
use rusqlite::{Connection, Rows};
use tidings_domain::{Entry, Revision, Timestamp, UserId};
use tidings_store::{Changes, Resync, StoreError};

/// The inbox's log above `since`.
///
/// Two streams that are each in order of revision are merged: what never changed, by the primary key (its revision is its
/// `seq`), and what did, by `item_changed`. Everything created above `since` has its revision above it too, so neither
/// stream walks more than the log above `since` holds.
pub(crate) fn changes(
    conn: &Connection,
    user: &UserId,
    since: Revision,
    limit: usize,
    now: Timestamp,
) -> Result<Changes, Failure> {
    let standing = standing(conn, user, now)?;
    let (head, floor, counts) = standing
        .as_ref()
        .map_or_else(Default::default, |standing| (standing.head, standing.floor, standing.counts));
    if since > head {
        return Err(StoreError::ResyncRequired(Resync::AboveHead).into());
    }
    if since < floor {
        return Err(StoreError::ResyncRequired(Resync::BelowFloor).into());
    }
    let (mut entries, mut has_more) = (Vec::new(), false);
    if let Some(standing) = standing.filter(|_| since < head) {
        let mut unchanged = conn.prepare_cached(&format!(
            "SELECT {ENTRY} FROM item AS i CROSS JOIN body AS b ON b.b = i.body \
             WHERE i.u = ?1 AND i.seq > ?2 AND i.rev = i.seq ORDER BY i.seq"
        ))?;
        let mut changed = conn.prepare_cached(&format!(
            "SELECT {ENTRY} FROM item AS i INDEXED BY item_changed CROSS JOIN body AS b ON b.b = i.body \
             WHERE i.u = ?1 AND i.rev > ?2 AND i.rev <> i.seq ORDER BY i.rev, i.seq"
        ))?;
        let at = (standing.u, bound(since));
        let mut unchanged = Stream::new(unchanged.query(at)?, user)?;
        let mut changed = Stream::new(changed.query(at)?, user)?;
        while let Some(rev) = [unchanged.rev(), changed.rev()].into_iter().flatten().min() {
            if entries.len() >= limit.max(1) && entries.last().is_some_and(|last: &Entry| last.rev() != rev) {
                has_more = true;
                break;
            }
            let stream = if unchanged.rev() == Some(rev) { &mut unchanged } else { &mut changed };
            entries.extend(stream.take()?);
        }
    }
    let cursor = match entries.last() {
        Some(last) if has_more => last.rev(),
        _ => head,
    };
    Ok(Changes { entries, cursor, head, counts, has_more })
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
