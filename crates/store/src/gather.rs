use crate::{ChangesQuery, Inside};
use tidings_domain::{Entry, Revision};

/// Gathers a page of an inbox's log from entries in order of revision, within one in order of `seq`. The one place that says
/// where a page ends, so that every store ends it alike.
#[derive(Debug)]
pub struct Gather {
    query: ChangesQuery,
    entries: Vec<Entry>,
    bytes: usize,
    /// Where the last revision of `entries` begins.
    edge: usize,
    end: End,
}

/// Why a page has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There was no more.
    Exhausted,
    /// It is full, at the end of a revision.
    Full,
    /// It is full within its only revision.
    Within(Inside),
}

impl Gather {
    /// An empty page.
    pub fn new(query: ChangesQuery) -> Self {
        Self { query, entries: Vec::new(), bytes: 0, edge: 0, end: End::Exhausted }
    }

    /// Offers the next entry. `false`: the page is full without it.
    pub fn take(&mut self, entry: Entry) -> bool {
        if self.end != End::Exhausted {
            return false;
        }
        if let Some(last) = self.entries.last() {
            let heavy = self.bytes >= self.query.bytes;
            if last.rev() != entry.rev() {
                if heavy || self.entries.len() >= self.query.limit.max(1) {
                    self.end = End::Full;
                    return false;
                }
                self.edge = self.entries.len();
            } else if heavy {
                self.end = if self.edge > 0 {
                    // A revision is never cut where it can begin a page of its own.
                    self.entries.truncate(self.edge);
                    End::Full
                } else {
                    End::Within(Inside { rev: last.rev(), seq: last.seq() })
                };
                return false;
            }
        }
        self.bytes += entry.wire_size();
        self.entries.push(entry);
        true
    }

    /// Whether the page ended before the log did.
    pub fn is_full(&self) -> bool {
        self.end != End::Exhausted
    }

    /// The page: its entries, how far it is complete, and where it goes on within a revision. `head` is the newest revision.
    pub fn finish(self, head: Revision) -> (Vec<Entry>, Revision, Option<Inside>) {
        let (cursor, next) = match (self.end, self.query.inside) {
            (End::Within(inside), _) => (self.query.since, Some(inside)),
            (_, Some(inside)) => (inside.rev, None),
            (End::Full, None) => (self.entries.last().map_or(self.query.since, Entry::rev), None),
            (End::Exhausted, None) => (head, None),
        };
        (self.entries, cursor, next)
    }
}
