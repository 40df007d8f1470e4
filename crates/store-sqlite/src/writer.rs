//! One thread writes. That is why the numbering has no holes and no order to defend: whoever is served next takes
//! `head + 1`, and nobody else can.
//!
//! **Group commit.** The thread takes one operation, drains what is waiting behind it, runs all of it in one transaction
//! and syncs once. The slower the disk, the more waits, the larger the next group: no timer, no artificial delay. Only
//! after the commit returned (`synchronous=FULL`: after the sync) is the observer told, in order, and only then are the
//! callers answered.
//!
//! **All or nothing.** An operation refuses before it writes. When SQLite fails in the middle, the transaction is rolled
//! back and the operations are run again one by one, so that only the failing one fails; a failing disk fails them all
//! without that. Operations therefore can be run again, and take nothing out of themselves.

use crate::checkpoint::{self, Checkpointer};
use crate::failure::Failure;
use crate::health::Health;
use crate::transaction::{Known, Tx};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tidings_domain::{Change, Clock, UserId};
use tidings_store::{Observer, StoreError, Visitors};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// How many operations share a transaction at most.
const GROUP: usize = 256;
/// How much they may weigh together.
const GROUP_BYTES: usize = 1 << 20;
/// After this many failures in a row the rest of a group is not tried any more.
const FAILURES_IN_A_ROW: usize = 8;
/// What a place in the queue is counted in.
const UNIT: usize = 1024;

/// Something to write.
pub(crate) trait Operation: Send + 'static {
    /// What the caller gets.
    type Answer: Send + 'static;

    /// Does it, or refuses before having written anything. May be run again after a rollback.
    fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Answer, Failure>;

    /// About how much it holds in memory.
    fn bytes(&self) -> usize {
        0
    }
}

/// An operation that waits, with its caller.
trait Job: Send {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure>;
    /// What it did is durable.
    fn answer(self: Box<Self>);
    /// What it did is undone.
    fn fail(self: Box<Self>, error: StoreError);
    fn bytes(&self) -> usize;
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
}

struct Pending<O: Operation> {
    operation: O,
    caller: oneshot::Sender<Result<O::Answer, StoreError>>,
    result: Option<Result<O::Answer, StoreError>>,
    /// Its place in the queue.
    _room: OwnedSemaphorePermit,
}

impl<O: Operation> Job for Pending<O> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        self.result = Some(match self.operation.run(tx) {
            Ok(answer) => Ok(answer),
            Err(Failure::Refused(error)) => Err(error),
            Err(failure) => return Err(failure),
        });
        Ok(())
    }

    fn answer(self: Box<Self>) {
        if let Some(result) = self.result {
            // The caller may have gone; what was done stays done.
            let _ = self.caller.send(result);
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.caller.send(Err(error));
    }

    fn bytes(&self) -> usize {
        self.operation.bytes()
    }

    fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }
}

enum Message {
    Job(Box<dyn Job>),
    Close,
}

/// What the writer has done since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub commits: AtomicU64,
    pub operations: AtomicU64,
    pub restarts: AtomicU64,
}

/// The way to the writer's thread.
pub(crate) struct Writer {
    queue: mpsc::UnboundedSender<Message>,
    /// What bounds the queue: each operation holds permits by its weight until it is answered.
    room: Arc<Semaphore>,
    units: usize,
    wait: Duration,
    health: Arc<Health>,
}

impl Writer {
    /// The way in, and what the thread takes from.
    pub(crate) fn new(queue_bytes: usize, wait: Duration, health: Arc<Health>) -> (Self, Queue) {
        let (queue, waiting) = mpsc::unbounded_channel();
        let units = (queue_bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let room = Arc::new(Semaphore::new(units));
        (Self { queue, room, units, wait, health }, Queue(waiting))
    }

    /// Waits for a place in the queue, and for the answer; each as long as the options say.
    pub(crate) async fn submit<O: Operation>(&self, operation: O) -> Result<O::Answer, StoreError> {
        let units = (1 + operation.bytes() / UNIT).min(self.units) as u32;
        let room = match timeout(self.wait, self.room.clone().acquire_many_owned(units)).await {
            Ok(Ok(room)) => room,
            Ok(Err(_closed)) => return Err(closed()),
            Err(_) => return Err(StoreError::Unavailable("too much waits to be written".to_owned())),
        };
        let (caller, answer) = oneshot::channel();
        let job = Pending { operation, caller, result: None, _room: room };
        self.queue.send(Message::Job(Box::new(job))).map_err(|_| closed())?;
        match timeout(self.wait, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_dropped)) => Err(closed()),
            Err(_) => {
                self.health.stalled();
                Err(StoreError::Unavailable("the disk did not answer in time".to_owned()))
            }
        }
    }

    /// Whether there is still somebody who writes.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.queue.is_closed() { Err(closed()) } else { Ok(()) }
    }

    /// No more is accepted. The thread finishes what it has been given, and ends.
    pub(crate) fn close(&self) {
        self.room.close();
        let _ = self.queue.send(Message::Close);
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// What waits for the writer's thread.
pub(crate) struct Queue(mpsc::UnboundedReceiver<Message>);

/// What runs on the writer's thread.
pub(crate) struct Loop {
    pub conn: Connection,
    pub known: Known,
    pub visitors: Arc<Visitors>,
    pub clock: Arc<dyn Clock>,
    pub observer: Arc<dyn Observer>,
    pub health: Arc<Health>,
    pub tally: Arc<Tally>,
    pub checkpointer: Checkpointer,
}

impl Loop {
    /// Until the store is closed or dropped.
    pub(crate) fn run(mut self, mut queue: Queue) {
        let mut open = true;
        while open {
            let Some(Message::Job(first)) = queue.0.blocking_recv() else { break };
            let mut bytes = first.bytes();
            let mut group = vec![first];
            while group.len() < GROUP && bytes < GROUP_BYTES {
                match queue.0.try_recv() {
                    Ok(Message::Job(job)) => {
                        bytes += job.bytes();
                        group.push(job);
                    }
                    Ok(Message::Close) => {
                        open = false;
                        break;
                    }
                    Err(_) => break,
                }
            }
            group.retain(|job| !job.is_abandoned());
            if !group.is_empty() {
                self.write(group);
                self.checkpointer.after_commit(&self.conn, &self.tally.restarts);
            }
        }
        drop(queue);
        self.checkpointer.stop();
        checkpoint::finish(&self.conn);
    }

    fn write(&mut self, mut group: Vec<Box<dyn Job>>) {
        match self.commit(&mut group) {
            Ok(()) => group.into_iter().for_each(Job::answer),
            Err(failure) if group.len() == 1 || failure.is_the_disk() => {
                let error = failure.into_store_error();
                group.into_iter().for_each(|job| job.fail(error.clone()));
            }
            Err(_) => self.write_one_by_one(group),
        }
    }

    fn write_one_by_one(&mut self, group: Vec<Box<dyn Job>>) {
        let mut failures = 0;
        let mut last = None;
        for mut job in group {
            if failures >= FAILURES_IN_A_ROW
                && let Some(error) = &last
            {
                job.fail(StoreError::clone(error));
                continue;
            }
            match self.commit(std::slice::from_mut(&mut job)) {
                Ok(()) => {
                    failures = 0;
                    job.answer();
                }
                // Says nothing about the others: however many want what is damaged, they do not keep the rest from writing.
                Err(failure @ (Failure::Damaged(_) | Failure::Panicked)) => {
                    job.fail(failure.into_store_error())
                }
                Err(failure) => {
                    let error = failure.into_store_error();
                    failures += 1;
                    last = Some(error.clone());
                    job.fail(error);
                }
            }
        }
    }

    /// Runs the group in one transaction, and tells the observer when it is durable.
    fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        // A panic must not end the thread that everybody's writes need. What it leaves is what any failure leaves: an open
        // transaction, and rows kept in memory, which are both given up below.
        let committed =
            catch_unwind(AssertUnwindSafe(|| self.transact(group))).unwrap_or(Err(Failure::Panicked));
        match committed {
            Ok((changes, created)) => {
                created.iter().for_each(|user| self.visitors.settled(user));
                self.tally.commits.fetch_add(1, Ordering::Relaxed);
                self.tally.operations.fetch_add(group.len() as u64, Ordering::Relaxed);
                self.health.succeeded();
                for change in changes {
                    self.observer.committed(change);
                }
                Ok(())
            }
            Err(failure) => {
                self.known.forget();
                if !self.conn.is_autocommit()
                    && let Err(error) = self.conn.execute_batch("ROLLBACK")
                {
                    tracing::error!(error = %error, "a transaction could not be rolled back");
                }
                self.health.failed(&failure);
                Err(failure)
            }
        }
    }

    /// What devices must learn, and the users whose inboxes were made.
    fn transact(&mut self, group: &mut [Box<dyn Job>]) -> Result<(Vec<Change>, Vec<UserId>), Failure> {
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut tx = Tx::new(&self.conn, &mut self.known, &self.visitors, self.clock.now());
        for job in group {
            tx.now = self.clock.now();
            job.run(&mut tx)?;
        }
        tx.flush()?;
        let done = tx.finish();
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(done)
    }
}
