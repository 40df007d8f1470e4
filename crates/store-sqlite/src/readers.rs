//! Reads have connections of their own and see the last commit; they never wait for the writer, nor it for them.

use crate::failure::Failure;
use crate::health::Health;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidings_store::StoreError;
use tokio::sync::Semaphore;
use tokio::time::timeout;

type Open = dyn Fn() -> rusqlite::Result<Connection> + Send + Sync;

/// A few connections, taken in turn.
pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    open: Box<Open>,
    seats: Arc<Semaphore>,
    wait: Duration,
    health: Arc<Health>,
}

impl Readers {
    /// Connections are opened when they are first needed, and kept.
    pub(crate) fn new(
        seats: usize,
        wait: Duration,
        health: Arc<Health>,
        open: impl Fn() -> rusqlite::Result<Connection> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let seats = Arc::new(Semaphore::new(seats.max(1)));
        Arc::new(Self { idle: Mutex::default(), open: Box::new(open), seats, wait, health })
    }

    /// Runs `read` on a thread that may block, in one read transaction: all it sees is of one moment.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let seat = match timeout(self.wait, self.seats.clone().acquire_owned()).await {
            Ok(Ok(seat)) => seat,
            Ok(Err(_closed)) => return Err(StoreError::Unavailable("the store is closed".to_owned())),
            Err(_) => return Err(StoreError::Unavailable("too many reads are waiting".to_owned())),
        };
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            // The seat is left when the read has ended, not when its caller has gone.
            let _seat = seat;
            readers.snapshot(read)
        });
        match timeout(self.wait, task).await {
            Ok(Ok(result)) => result.map_err(Failure::into_store_error),
            Ok(Err(_)) => Err(StoreError::Unavailable("a read was broken off".to_owned())),
            Err(_) => Err(StoreError::Unavailable("the disk did not answer in time".to_owned())),
        }
    }

    /// Runs `read` here and now.
    pub(crate) fn snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let taken = self.lock().pop();
        let conn = match taken {
            Some(conn) => conn,
            None => (self.open)()?,
        };
        let result = Transaction::new_unchecked(&conn, TransactionBehavior::Deferred)
            .map_err(Failure::from)
            .and_then(|snapshot| read(&snapshot));
        if let Err(Failure::Damaged(detail)) = &result {
            self.health.damaged(detail);
        }
        // A connection that met an error may be the error.
        if !self.seats.is_closed() && matches!(result, Ok(_) | Err(Failure::Refused(_))) {
            self.lock().push(conn);
        }
        result
    }

    /// No more reads; connections are closed as they come back.
    pub(crate) fn close(&self) {
        self.seats.close();
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
