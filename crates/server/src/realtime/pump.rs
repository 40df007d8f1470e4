//! The pump: one attached device's reader. It holds a cursor, not messages.
//!
//! # Why nothing is lost, doubled or reordered
//!
//! The store numbers every change of an inbox without holes and shows a number only when all smaller ones are visible.
//! A pump serves exactly what lies above its cursor, in order of `rev`, and moves the cursor past what it gave out; it
//! is the only one that writes to its socket. So order and "once" are its own doing, and the rest is a question of
//! never sleeping while there is something to read. Race by race:
//!
//! - **A commit while a device attaches.** The seat is taken first, then the head is read, then the pump starts. A commit
//!   before the seat was taken is in the head that is read; one after it raises the feed's head. Both make the pump look.
//! - **A commit between looking and sleeping.** The wake-up is armed before the feed is asked, so news that comes after
//!   the question ends the sleep.
//! - **A commit whose news is lost, doubled or late** (another node, a crash between commit and push). News is a hint: a
//!   frame is taken from the ring only if it continues exactly at the cursor; a hole is read from the store; what is at
//!   or below the cursor is skipped. Lost news is found by the next one, by the next attach, or when heads are checked
//!   (`checks`). News of what the store does not have is forgotten.
//! - **A slow device.** Nothing queues for it. Its ring frames are dropped past their bound and it reads from the store.
//! - **Two devices.** Each has its own cursor; they share frames, not positions.
//! - **Being interrupted.** [`Pump::next`] moves the cursor only when it returns, with no wait after, so that dropping the
//!   future loses nothing.
//! - **Changes during a long resume.** A resume is read page by page while the inbox goes on changing. A notification
//!   that changes meanwhile moves behind the page being read: it is still above the cursor and comes later, in its later
//!   state. Until a page has reached the head, the ring is not used: a live "read #11" must not overtake the notification
//!   11 that the resume has yet to bring. What a device has not had before stays a *new notification* even if its `rev`
//!   has moved: `moved` remembers what was created at or below the cursor and has not come yet. It is kept whole by this:
//!   what was created in a page's stretch and is not in the page has changed above it, and is asked for
//!   ([`Store::moved`]) *after* the page was read, less what the page brought. What moved out of the page in between was
//!   brought by it; what had moved before is still above.
//! - **A resume that is cut.** The device comes back with any place within it. An event's offset therefore says not only how
//!   far it reaches but also what has not come as new there ([`tidings_domain::Unserved`]). For clients that keep the
//!   number alone the same is noted at the device in the store, before the events are given out.
//! - **Interleaving of revisions.** All that a revision changed is sent in one event, or, where that would be too large, in
//!   parts that follow each other. Of these all but the last leave the reader where it stood before the revision, so a
//!   cursor never stands inside of one, and who is cut between two parts gets all of them again: a part brings present
//!   states, so a repeated one changes nothing. The parts are settled when the first is read, by `seq`, which never
//!   changes. What moves out of a part before it is sent comes later, since the resume then has not reached the head: only
//!   a page of whole revisions ends it.

use crate::realtime::feed::Taken;
use crate::realtime::frame::Part;
use crate::realtime::{Frame, Seat};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::{Cursor, DeviceId, Entry, Epoch, Moved, RESUME_REACH, Revision, Unserved, UserId};
use tidings_socketio::EncodeError;
use tidings_store::{Changes, ChangesQuery, Inside, Located, PAGE_BYTES, Resync, Store, StoreError};

/// How long a reader waits before it asks a store again that could not answer.
const RETRY: Duration = Duration::from_millis(500);

/// How many notifications are read from the store at once.
const PAGE: usize = 64;

/// What an event adds to its notifications, in bytes at most: its name, its numbers and the epoch of its offset.
const EVENT: usize = 512;

/// One device's reader.
pub struct Pump {
    store: Arc<dyn Store>,
    epoch: Epoch,
    seat: Seat,
    device: DeviceId,
    cursor: Revision,
    /// Reads the store until a page reaches the head; the ring is not used meanwhile.
    resuming: bool,
    /// What was created at or below the cursor and has not come as new; empty outside of a resume.
    moved: Moved,
    /// The store has a note of this device's resume.
    noted: bool,
    /// A revision that is being sent in parts.
    parts: Option<Box<Parts>>,
}

/// A revision that is sent in parts.
struct Parts {
    rev: Revision,
    /// The last `seq` of each part.
    ends: Vec<Revision>,
    /// The next part.
    next: usize,
    /// The `seq`s that the parts so far have brought.
    served: HashSet<Revision>,
}

/// What a pump gives out.
#[derive(Debug)]
pub enum Served {
    /// The next events, in order.
    Frames(Vec<Arc<Frame>>),
    /// The cursor cannot be resumed; [`Pump::restart`] from elsewhere.
    Resync(Resync),
    /// What comes next cannot be written as an event: a defect. It has been logged.
    Broken,
}

/// Why a page could not be given out.
enum Failure {
    Store(StoreError),
    Encode(EncodeError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl Pump {
    /// A reader that starts above `cursor` and has not had `unserved` as new. The seat was taken before `located` was read.
    pub fn new(
        store: Arc<dyn Store>,
        seat: Seat,
        device: DeviceId,
        located: &Located,
        cursor: Revision,
        unserved: &Unserved,
    ) -> Self {
        let epoch = store.inbox_epoch(seat.user());
        seat.feed.set_epoch(&epoch);
        seat.feed.raise(located.head);
        let noted = located.resume.as_deref().is_some_and(|note| !note.is_empty());
        let moved = Moved::default();
        let mut pump =
            Self { store, epoch, seat, device, cursor, resuming: false, moved, noted, parts: None };
        pump.restart(cursor, unserved);
        pump
    }

    /// Whose inbox it reads.
    pub fn user(&self) -> &UserId {
        self.seat.user()
    }

    /// The inbox's epoch.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Everything up to here was given out.
    pub fn cursor(&self) -> Revision {
        self.cursor
    }

    /// Where its reader stands, as the text that a client gives back.
    pub fn offset(&self) -> String {
        self.offset_at(&self.moved, self.cursor).to_string()
    }

    fn offset_at(&self, moved: &Moved, rev: Revision) -> Cursor {
        Cursor { epoch: self.epoch.clone(), rev, unserved: moved.unserved_at(rev) }
    }

    /// Starts again above `cursor`, with what was not had as new there.
    pub fn restart(&mut self, cursor: Revision, unserved: &Unserved) {
        self.cursor = cursor;
        self.moved = Moved::starting_with(unserved, cursor);
        self.resuming = !self.moved.is_empty();
        self.parts = None;
        self.seat.feed.reached(self.seat.key, cursor);
    }

    /// Waits for what is above the cursor; then at most `frames` events of at most `bytes` in all, but at least one.
    /// Safe to drop while it waits. A store that cannot answer is asked again until it can.
    pub async fn next(&mut self, frames: usize, bytes: usize) -> Served {
        loop {
            let feed = self.seat.feed.clone();
            let news = feed.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if !self.resuming {
                match feed.take(self.seat.key, self.cursor, frames, bytes) {
                    Taken::Frames(taken) => {
                        self.cursor = taken.last().map_or(self.cursor, |last| last.rev);
                        return Served::Frames(taken);
                    }
                    Taken::Nothing => {
                        news.await;
                        continue;
                    }
                    Taken::InStore => {}
                }
            }
            match Box::pin(self.read(frames, bytes)).await {
                Ok(taken) if taken.is_empty() => {}
                Ok(taken) => return Served::Frames(taken),
                Err(Failure::Store(StoreError::ResyncRequired(reason))) => return Served::Resync(reason),
                Err(Failure::Store(error)) => {
                    tracing::warn!(user.id = %self.user(), %error, "an inbox could not be read; trying again");
                    tokio::time::sleep(RETRY).await;
                }
                Err(Failure::Encode(error)) => {
                    tracing::error!(user.id = %self.user(), cursor = self.cursor, %error, "an event could not be encoded");
                    return Served::Broken;
                }
            }
        }
    }

    /// The next events from the store.
    async fn read(&mut self, frames: usize, bytes: usize) -> Result<Vec<Arc<Frame>>, Failure> {
        if self.parts.is_some() {
            return self.read_part().await;
        }
        let heard = self.seat.feed.head();
        let user = self.seat.user().clone();
        // Asked once a resume, at its beginning: it is served whole or not at all.
        if !self.resuming && self.store.behind(&user, self.cursor, RESUME_REACH + 1).await? > RESUME_REACH {
            return Err(StoreError::ResyncRequired(Resync::TooFarBehind).into());
        }
        let query =
            ChangesQuery { bytes: bytes.min(PAGE_BYTES), ..ChangesQuery::new(self.cursor, frames.min(PAGE)) };
        let mut page = self.store.changes(&user, query).await?;
        if page.next.is_some() && query.bytes < PAGE_BYTES {
            page = self.store.changes(&user, ChangesQuery { bytes: PAGE_BYTES, ..query }).await?;
        }
        if let Some(inside) = page.next {
            self.begin_parts(inside).await?;
            return self.read_part().await;
        }
        let head = page.head;
        let taken = self.give_out(page, bytes).await?;
        self.seat.feed.retract_head(heard, head);
        Ok(taken)
    }

    /// Gives out a page of whole revisions, as far as `bytes` reach, at least one.
    async fn give_out(&mut self, page: Changes, bytes: usize) -> Result<Vec<Arc<Frame>>, Failure> {
        let revisions: Vec<&[Entry]> = page.entries.chunk_by(|one, other| one.rev() == other.rev()).collect();
        let is_dense = revisions.len() as u64 == page.cursor - self.cursor;
        let event = if is_dense && self.moved.is_empty() { EVENT } else { EVENT + Unserved::TEXT_BYTES };
        let mut size = 0;
        let fits = |revision: &&&[Entry]| {
            let before = size;
            size += revision.iter().map(Entry::wire_size).sum::<usize>() + event;
            before == 0 || size <= bytes
        };
        let taken: Vec<&[Entry]> = revisions.iter().take_while(fits).copied().collect();
        let complete = !page.has_more && taken.len() == revisions.len();
        let last = taken.last().and_then(|revision| revision.first()).map(Entry::rev);
        let up_to = if complete { page.cursor } else { last.unwrap_or(self.cursor) };

        let brought = taken.iter().filter_map(|revision| Some((revision.first()?.rev(), seqs(revision))));
        let brought: Vec<_> = brought.collect();
        let moved = self.account(up_to, &brought, complete).await?;
        let noted = match taken.len() > 1 || !complete {
            true => self.note(&moved).await,
            false => self.note(&Moved::default()).await,
        };
        let mut frames = Vec::with_capacity(taken.len());
        let mut prev = self.cursor;
        for (revision, (rev, _)) in taken.iter().zip(&brought) {
            let offset = self.offset_at(&moved, *rev);
            let is_new = |entry: &Entry| self.is_new(entry.seq());
            frames.push(Arc::new(Frame::of_revision(prev, revision, is_new, page.counts, &offset)?));
            prev = *rev;
        }

        // From here on nothing waits: what is remembered is what is returned.
        self.stand_at(up_to, if complete { Moved::default() } else { moved }, noted);
        self.resuming = !complete;
        Ok(frames)
    }

    /// The next revision is larger than an event: finds where its parts end. What they hold is read again when it is sent, so
    /// that no more than one part is held.
    async fn begin_parts(&mut self, first: Inside) -> Result<(), StoreError> {
        let (mut ends, mut inside) = (Vec::new(), Some(first));
        while let Some(end) = inside {
            ends.push(end.seq);
            let rest = ChangesQuery { inside, ..ChangesQuery::new(self.cursor, 1) };
            inside = self.store.changes(self.seat.user(), rest).await?.next;
        }
        ends.push(Revision::MAX);
        self.parts = Some(Box::new(Parts { rev: first.rev, ends, next: 0, served: HashSet::new() }));
        self.resuming = true;
        Ok(())
    }

    /// The next part of a large revision.
    async fn read_part(&mut self) -> Result<Vec<Arc<Frame>>, Failure> {
        let Some(parts) = &self.parts else { return Ok(Vec::new()) };
        let (rev, part) = (parts.rev, Part { index: parts.next, of: parts.ends.len() });
        let after = parts.next.checked_sub(1).map_or(0, |before| parts.ends[before]);
        let end = parts.ends[parts.next];
        let query =
            ChangesQuery { inside: Some(Inside { rev, seq: after }), ..ChangesQuery::new(self.cursor, 1) };
        let mut page = self.store.changes(self.seat.user(), query).await?;
        page.entries.retain(|entry| entry.seq() <= end);

        if !part.is_last() {
            let offset = self.offset_at(&self.moved, self.cursor);
            let frame = Frame::of_part((self.cursor, rev), &page.entries, part, page.counts, &offset)?;
            if let Some(parts) = &mut self.parts {
                parts.next += 1;
                parts.served.extend(page.entries.iter().map(Entry::seq));
            }
            return Ok(vec![Arc::new(frame)]);
        }
        let all: Vec<Revision> = parts.served.iter().copied().chain(seqs(&page.entries)).collect();
        let moved = self.account(rev, &[(rev, all)], false).await?;
        let noted = self.note(&moved).await;
        let offset = self.offset_at(&moved, rev);
        let frame = Frame::of_part((self.cursor, rev), &page.entries, part, page.counts, &offset)?;
        self.parts = None;
        self.stand_at(rev, moved, noted);
        Ok(vec![Arc::new(frame)])
    }

    /// Whether this reader has never had it.
    fn is_new(&self, seq: Revision) -> bool {
        seq > self.cursor || self.moved.is_unserved(seq)
    }

    /// What has not come as new once these revisions have, up to `up_to`. `complete`: there is nothing above it.
    async fn account(
        &self,
        up_to: Revision,
        brought: &[(Revision, Vec<Revision>)],
        complete: bool,
    ) -> Result<Moved, StoreError> {
        let mut moved = self.moved.clone();
        // Every number of the stretch was one change. Where each is in the page, nothing that was created there has moved.
        if !complete && brought.len() as u64 != up_to - self.cursor {
            let here: HashSet<Revision> = brought.iter().flat_map(|(_, seqs)| seqs).copied().collect();
            let found = self.store.moved(self.seat.user(), self.cursor, up_to).await?;
            moved.found(found.into_iter().filter(|seq| !here.contains(seq)));
        }
        for (rev, seqs) in brought {
            moved.serve(*rev, seqs.iter().copied().filter(|seq| self.is_new(*seq)));
        }
        if complete {
            // What is left was removed by retention.
            moved.forget_unserved();
        }
        Ok(moved)
    }

    /// Keeps what has not come as new at the device in the store, if there is or was anything to keep. Returns whether there
    /// is.
    async fn note(&self, moved: &Moved) -> bool {
        if moved.is_empty() && !self.noted {
            return false;
        }
        let note = moved.to_note();
        let is_noted = !note.is_empty();
        if let Err(error) = self.store.note_resume(self.seat.user(), &self.device, note).await {
            // The offsets say it too: only a client that keeps the number alone may miss that something is new.
            tracing::warn!(user.id = %self.user(), %error, "how far a resume has come could not be stored");
        }
        is_noted
    }

    fn stand_at(&mut self, cursor: Revision, moved: Moved, noted: bool) {
        (self.cursor, self.moved, self.noted) = (cursor, moved, noted);
        self.seat.feed.reached(self.seat.key, cursor);
    }

    /// Where it sits.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The newest revision that this node has heard of.
    pub fn head(&self) -> Revision {
        self.seat.feed.head().max(self.cursor)
    }
}

fn seqs(entries: &[Entry]) -> Vec<Revision> {
    entries.iter().map(Entry::seq).collect()
}
