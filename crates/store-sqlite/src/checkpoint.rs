//! Carrying the write-ahead log over into the file, beside the writes.
//!
//! A thread of its own copies pages whenever enough has gathered, without holding up anybody. That alone never empties
//! the log while writes go on, since it starts afresh only when all of it has been copied. So past a mark the writer
//! itself copies the little that is left and starts it afresh. The mark is high because each round costs three syncs.
//!
//! Nothing here decides about durability: a commit is durable by the sync of the log, and a copy is given up only after
//! the file has been synced.

use crate::open::BUSY;
use rusqlite::Connection;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The log's pages and how many of them have been copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Log {
    /// Somebody was in the way.
    busy: bool,
    pages: u64,
    copied: u64,
}

/// Asks SQLite to copy, or (`NOOP`) only how things stand.
fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<Log> {
    conn.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?.query_row([], |row| {
        let count = |column| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0));
        Ok(Log { busy: row.get(0)?, pages: count(1)?, copied: count(2)? })
    })
}

/// The last one, when nobody writes any more: leaves a file without a log.
pub(crate) fn finish(conn: &Connection) {
    if let Err(error) = checkpoint(conn, "TRUNCATE") {
        tracing::warn!(error = %error, "the write-ahead log stays beside the file and is read at the next start");
    }
}

/// The writer's side.
pub(crate) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Held while a copy runs, so that the writer's does not meet the thread's.
    copying: Arc<Mutex<()>>,
    /// Where the log stood when the thread was last woken.
    woken_at: u64,
    /// A copy begins when this many pages have gathered.
    step: u64,
    /// The log starts afresh at this many.
    mark: u64,
    /// After a fruitless attempt (a reader holds on to the log) the next one waits until here.
    next_attempt: u64,
}

/// How long the writer waits for readers before it lets the log grow.
const PATIENCE: Duration = Duration::from_millis(50);

/// A quiet store's log is carried over after this long.
const IDLE: Duration = Duration::from_secs(30);

impl Checkpointer {
    /// Starts the thread. `conn` is its own.
    pub(crate) fn start(conn: Connection, wal_bytes: u64, page_bytes: u64) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let copying = Arc::new(Mutex::new(()));
        let thread = std::thread::Builder::new().name("tidings-checkpoint".to_owned()).spawn({
            let copying = copying.clone();
            move || copy_when_woken(&conn, &woken, &copying)
        })?;
        let mark = (wal_bytes / page_bytes.max(1)).max(64);
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            copying,
            woken_at: 0,
            step: mark / 4,
            mark,
            next_attempt: mark,
        })
    }

    /// After each commit: wakes the thread, or starts the log afresh.
    pub(crate) fn after_commit(&mut self, conn: &Connection, restarts: &AtomicU64) {
        let pages = match checkpoint(conn, "NOOP") {
            Ok(log) => log.pages,
            Err(error) => {
                tracing::warn!(error = %error, "the write-ahead log could not be measured");
                return;
            }
        };
        if pages < self.woken_at {
            // It has started afresh.
            (self.woken_at, self.next_attempt) = (0, self.mark);
        }
        if pages >= self.next_attempt {
            self.start_afresh(conn, pages, restarts);
        } else if pages >= self.woken_at + self.step
            && let Some(wake) = &self.wake
            && !matches!(wake.try_send(()), Err(TrySendError::Full(())))
        {
            self.woken_at = pages;
        }
    }

    /// Copies what is left, and lets the next commit begin the log anew.
    fn start_afresh(&mut self, conn: &Connection, pages: u64, restarts: &AtomicU64) {
        // While the thread copies there is time, until the log is twice as long: then writes wait for it, since copying
        // is slower than they are.
        let _alone = match self.copying.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::WouldBlock) if pages < 2 * self.mark => return,
            Err(_) => self.copying.lock().unwrap_or_else(PoisonError::into_inner),
        };
        // Our readers are quick. A shell that somebody opened beside us and left in the middle of a query is not, and
        // must not hold up the writes.
        let outcome = conn.busy_timeout(PATIENCE).and_then(|()| checkpoint(conn, "RESTART"));
        let patient = conn.busy_timeout(BUSY);
        match outcome.and_then(|outcome| patient.map(|()| outcome)) {
            Ok(outcome) if !outcome.busy => {
                restarts.fetch_add(1, Ordering::Relaxed);
                (self.woken_at, self.next_attempt) = (0, self.mark);
                return;
            }
            Ok(_) => {
                tracing::warn!(log.pages = pages, "a reader holds on to the write-ahead log, which grows")
            }
            Err(error) => tracing::warn!(error = %error, "the write-ahead log could not be carried over"),
        }
        self.next_attempt = pages + self.step;
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

fn copy_when_woken(conn: &Connection, woken: &Receiver<()>, copying: &Mutex<()>) {
    let mut seen = Log::default();
    loop {
        let idle = match woken.recv_timeout(IDLE) {
            Ok(()) => false,
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if idle {
            // Nothing to do, or writes are under way that will wake this thread in their own time.
            let before = std::mem::replace(&mut seen, checkpoint(conn, "NOOP").unwrap_or_default());
            if seen.copied >= seen.pages || seen != before {
                continue;
            }
        }
        let _alone = copying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = checkpoint(conn, "PASSIVE") {
            tracing::warn!(error = %error, "the write-ahead log could not be carried over");
        }
    }
}
