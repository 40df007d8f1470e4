//! A budget for all answers that are being written. An answer is in memory until its reader has taken it, so without one a
//! crowd of slow readers holds as much as it asks for.
//!
//! A reading route reserves before it reads, since an answer costs its memory while it is made, too, and waits a moment for
//! room. When the answer is there, the reservation becomes its true size, and lasts until the connection has taken the last
//! of it. Small answers are not counted: a connection's own buffers are as large. Nor are streams and sockets, which write no
//! more than their window.

use crate::http::problem::{Code, Problem};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// What is not counted.
const SMALL: usize = 16 * 1024;

/// A page, as it was read and as it is written.
const PAGE: usize = 512 * 1024;

/// How long a reading route waits for room.
const PATIENCE: Duration = Duration::from_secs(2);

/// The budget.
pub struct Answers {
    max: usize,
    held: AtomicUsize,
    freed: Notify,
}

impl Answers {
    /// At most so many bytes. One answer that is larger is written alone.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, held: AtomicUsize::new(0), freed: Notify::new() })
    }

    fn try_add(&self, bytes: usize) -> bool {
        let fits = |held: usize| (held == 0 || held.saturating_add(bytes) <= self.max).then(|| held + bytes);
        self.held.try_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    /// Room for the answer of a reading route.
    pub async fn reserve(self: &Arc<Self>) -> Result<Reserved, Problem> {
        let room = async {
            loop {
                let mut freed = pin!(self.freed.notified());
                freed.as_mut().enable();
                if self.try_add(PAGE) {
                    // There may be room for the next one too.
                    self.freed.notify_one();
                    return;
                }
                freed.await;
            }
        };
        timeout(PATIENCE, room).await.map_err(|_| full())?;
        Ok(Reserved(Arc::new(Held { answers: self.clone(), bytes: PAGE })))
    }

    /// What an answer of this size holds until it is written. `may_refuse`: whether nothing was done yet that the answer
    /// tells of.
    pub fn settle(
        self: &Arc<Self>,
        reserved: Option<Reserved>,
        bytes: usize,
        may_refuse: bool,
    ) -> Result<Option<Held>, Problem> {
        let reserved = reserved.and_then(|Reserved(held)| Arc::into_inner(held));
        if bytes <= SMALL {
            return Ok(None);
        }
        let before = reserved.as_ref().map_or(0, |held| held.bytes);
        if bytes > before && !self.try_add(bytes - before) {
            if may_refuse {
                return Err(full());
            }
            self.held.fetch_add(bytes - before, Ordering::AcqRel);
        }
        let mut held = reserved.unwrap_or(Held { answers: self.clone(), bytes: 0 });
        held.shrink(before.saturating_sub(bytes));
        held.bytes = bytes;
        Ok(Some(held))
    }
}

fn full() -> Problem {
    Problem::new(
        Code::Unavailable,
        "too many answers are being written, which their readers do not take; try again",
    )
}

/// Room that is kept for an answer; goes along with a response.
#[derive(Clone)]
pub struct Reserved(Arc<Held>);

/// A part of the budget, given back when this is dropped.
pub struct Held {
    answers: Arc<Answers>,
    bytes: usize,
}

impl Held {
    fn shrink(&mut self, bytes: usize) {
        if bytes > 0 {
            self.answers.held.fetch_sub(bytes, Ordering::AcqRel);
            self.bytes -= bytes;
            self.answers.freed.notify_one();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1024 * 1024;

    fn held(answers: &Answers) -> usize {
        answers.held.load(Ordering::Acquire)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_reserved_becomes_what_is_held_until_it_is_written() {
        let answers = Answers::new(MB);
        let reserved = answers.reserve().await.unwrap();
        assert_eq!(held(&answers), PAGE);
        let written = answers.settle(Some(reserved), 100_000, true).unwrap();
        assert_eq!(held(&answers), 100_000);
        drop(written);
        assert_eq!(held(&answers), 0);
        let reserved = answers.reserve().await.unwrap();
        assert!(answers.settle(Some(reserved), SMALL, true).unwrap().is_none());
        assert_eq!(held(&answers), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_budget_readers_wait_a_moment_and_are_then_refused() {
        let answers = Answers::new(MB);
        let first = answers.reserve().await.unwrap();
        let _second = answers.reserve().await.unwrap();
        assert!(answers.reserve().await.is_err());
        let (third, ()) = tokio::join!(answers.reserve(), async { drop(first) });
        let third = third.unwrap();
        // Larger than what was reserved, for which there is no room.
        assert!(answers.settle(Some(third), 900_000, true).is_err());
        assert_eq!(held(&answers), PAGE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_done_is_answered_and_one_answer_always_fits() {
        let answers = Answers::new(MB);
        let huge = answers.settle(None, 10 * MB, true).unwrap();
        assert!(huge.is_some());
        assert!(answers.settle(None, 100_000, true).is_err());
        assert!(answers.settle(None, 100_000, false).unwrap().is_some());
        assert_eq!(held(&answers), 10 * MB);
        drop(huge);
        assert_eq!(held(&answers), 0);
    }
}
