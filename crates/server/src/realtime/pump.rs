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
//!   state. Until the resume has reached the head, the ring is not used: a live "read #11" must not overtake the
//!   notification 11 that the resume has yet to bring. What a device has not had before stays a *new notification* even
//!   if its `rev` has moved: `served` remembers what the resume brought.
//! - **Interleaving of revisions.** All that a revision changed is read in one piece and sent as one event, so a cursor
//!   never stands inside of a revision.

use crate::realtime::feed::Taken;
use crate::realtime::{Frame, Seat};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::{Entry, Epoch, RESUME_REACH, Revision, UserId};
use tidings_store::{Resync, Store, StoreError};

/// How long a reader waits before it asks a store again that could not answer.
const RETRY: Duration = Duration::from_millis(500);

/// How many notifications are read from the store at once.
const PAGE: usize = 64;

/// One device's reader.
pub struct Pump {
    store: Arc<dyn Store>,
    epoch: Epoch,
    seat: Seat,
    cursor: Revision,
    /// Every notification created up to here has been served, or lies before where this reader started.
    known: Revision,
    /// During a resume of several pages: what it has brought so far of what was created above `known`.
    served: Option<HashSet<Revision>>,
}

/// What a pump gives out.
#[derive(Debug)]
pub enum Served {
    /// The next events, in order.
    Frames(Vec<Arc<Frame>>),
    /// The cursor cannot be resumed; [`Pump::restart`] from elsewhere.
    Resync(Resync),
}

impl Pump {
    /// A reader that starts above `cursor`. The seat was taken before the store's head, `head`, was read.
    pub fn new(store: Arc<dyn Store>, seat: Seat, cursor: Revision, head: Revision) -> Self {
        let epoch = store.epoch().clone();
        seat.feed.reached(seat.key, cursor);
        seat.feed.raise(head);
        Self { store, epoch, seat, cursor, known: cursor, served: None }
    }

    /// Whose inbox it reads.
    pub fn user(&self) -> &UserId {
        self.seat.user()
    }

    /// Everything up to here was given out.
    pub fn cursor(&self) -> Revision {
        self.cursor
    }

    /// Starts again above `cursor`.
    pub fn restart(&mut self, cursor: Revision) {
        self.cursor = cursor;
        self.known = cursor;
        self.served = None;
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
            if self.served.is_none() {
                match feed.take(self.seat.key, self.cursor, frames, bytes) {
                    Taken::Frames(taken) => {
                        self.cursor = taken.last().map_or(self.cursor, |last| last.rev);
                        self.known = self.cursor;
                        return Served::Frames(taken);
                    }
                    Taken::Nothing => {
                        news.await;
                        continue;
                    }
                    Taken::InStore => {}
                }
            }
            match self.read(frames, bytes).await {
                Ok(taken) if taken.is_empty() => {}
                Ok(taken) => return Served::Frames(taken),
                Err(StoreError::ResyncRequired(reason)) => return Served::Resync(reason),
                Err(error) => {
                    tracing::warn!(user.id = %self.user(), %error, "an inbox could not be read; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// The next page from the store.
    async fn read(&mut self, frames: usize, bytes: usize) -> Result<Vec<Arc<Frame>>, StoreError> {
        let user = self.seat.user().clone();
        let heard = self.seat.feed.head();
        // Asked once a resume, at its beginning: it is served whole or not at all.
        if self.served.is_none()
            && self.store.behind(&user, self.cursor, RESUME_REACH + 1).await? > RESUME_REACH
        {
            return Err(StoreError::ResyncRequired(Resync::TooFarBehind));
        }
        let page = self.store.changes(&user, self.cursor, frames.min(PAGE)).await?;

        let mut taken: Vec<Arc<Frame>> = Vec::new();
        let (mut at, mut size, mut cut) = (self.cursor, 0, false);
        let served = self.served.as_ref();
        let is_new = |entry: &Entry| {
            entry.seq() > self.known && !served.is_some_and(|served| served.contains(&entry.seq()))
        };
        for revision in page.entries.chunk_by(|one, other| one.rev() == other.rev()) {
            let frame = Frame::of_revision(&self.epoch, at, revision, is_new, page.counts)
                .map_err(|error| StoreError::Unavailable(error.to_string()))?;
            if !taken.is_empty() && size + frame.packet.len() > bytes {
                cut = true;
                break;
            }
            at = frame.rev;
            size += frame.packet.len();
            taken.push(Arc::new(frame));
        }

        // From here on nothing waits: what is remembered is what is returned.
        if page.has_more || cut {
            let served = self.served.get_or_insert_default();
            served.extend(page.entries.iter().filter(|entry| entry.rev() <= at).map(Entry::seq));
            self.cursor = at;
        } else {
            self.served = None;
            self.cursor = page.cursor.max(at);
            self.known = self.cursor;
        }
        self.seat.feed.reached(self.seat.key, self.cursor);
        self.seat.feed.disown(heard, page.head);
        Ok(taken)
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
