//! Keeps the background workers running. A worker that panics is logged and started again, and until it has held for a
//! while the server is not ready. Every worker of the server runs here, so that none of them can end unnoticed.

use futures_util::FutureExt;
use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The delay before a worker that failed is started again: doubled each time, up to the last one.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// A worker that has run for so long since it was started again counts as well.
const STEADY: Duration = Duration::from_secs(1);

/// The background workers of one server.
#[derive(Debug, Default, Clone)]
pub struct Workers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// How often each of those that are down has failed in a row.
    down: Mutex<BTreeMap<&'static str, u32>>,
    ending: CancellationToken,
    tasks: TaskTracker,
}

impl Workers {
    /// Runs a worker until [`end`](Self::end). `begin` is called again each time it has failed.
    pub fn spawn<W, F>(&self, name: &'static str, begin: W)
    where
        W: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Infallible> + Send + 'static,
    {
        let shared = self.shared.clone();
        self.shared.tasks.spawn(async move {
            let ending = shared.ending.clone();
            ending.run_until_cancelled(shared.keep_running(name, begin)).await;
        });
    }

    /// A worker that is down, if there is one.
    pub fn down(&self) -> Option<&'static str> {
        self.shared.down().keys().next().copied()
    }

    /// Ends all workers, and waits until they have ended.
    pub async fn end(&self) {
        self.shared.ending.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    fn down(&self) -> MutexGuard<'_, BTreeMap<&'static str, u32>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep_running<W, F>(&self, name: &'static str, begin: W)
    where
        W: Fn() -> F,
        F: Future<Output = Infallible>,
    {
        loop {
            let panic = self.run(name, &begin).await;
            let failures = {
                let mut down = self.down();
                let failures = down.entry(name).or_default();
                *failures = failures.saturating_add(1);
                *failures
            };
            let delay = FIRST_DELAY.saturating_mul(1 << (failures - 1).min(16)).min(LAST_DELAY);
            tracing::error!(
                worker = name,
                failures,
                panic = what(&*panic),
                delay.seconds = delay.as_secs_f64(),
                "a background worker panicked; the server is not ready until it runs again"
            );
            tokio::time::sleep(delay).await;
        }
    }

    /// One life of a worker, to its panic.
    async fn run<W, F>(&self, name: &'static str, begin: &W) -> Box<dyn Any + Send>
    where
        W: Fn() -> F,
        F: Future<Output = Infallible>,
    {
        // What a worker shares stays usable after a panic: its locks are taken in spite of poison.
        let mut life = pin!(AssertUnwindSafe(async { begin().await }).catch_unwind());
        if self.down().contains_key(name) {
            tokio::select! {
                Err(panic) = &mut life => return panic,
                () = tokio::time::sleep(STEADY) => {
                    self.down().remove(name);
                    tracing::info!(worker = name, "the background worker runs again");
                }
            }
        }
        match life.await {
            Err(panic) => panic,
        }
    }
}

/// What a panic says.
pub fn what(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::{Instant, advance};

    /// A worker that panics the first `times` times; how often it was begun.
    fn failing(workers: &Workers, times: u32) -> Arc<AtomicU32> {
        let begun = Arc::new(AtomicU32::new(0));
        let count = begun.clone();
        workers.spawn("worker", move || {
            let life = count.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(life >= times, "life {life}");
                pending().await
            }
        });
        begun
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_panics_is_down_until_it_runs_again() {
        let workers = Workers::default();
        assert_eq!(workers.down(), None);
        let begun = failing(&workers, 2);
        settle().await;
        assert_eq!((workers.down(), begun.load(Ordering::SeqCst)), (Some("worker"), 1));
        advance(FIRST_DELAY).await;
        settle().await;
        assert_eq!((workers.down(), begun.load(Ordering::SeqCst)), (Some("worker"), 2));
        advance(FIRST_DELAY * 2).await;
        settle().await;
        // It has begun, but not yet shown that it holds.
        assert_eq!((workers.down(), begun.load(Ordering::SeqCst)), (Some("worker"), 3));
        advance(STEADY).await;
        settle().await;
        assert_eq!(workers.down(), None);
        workers.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_grows_to_its_bound() {
        let workers = Workers::default();
        let begun = failing(&workers, u32::MAX);
        let start = Instant::now();
        while begun.load(Ordering::SeqCst) < 40 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let took = start.elapsed();
        assert!(took > LAST_DELAY * 30 && took < LAST_DELAY * 40, "{took:?}");
        workers.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_cannot_even_begin_is_down_too() {
        let workers = Workers::default();
        workers.spawn("worker", || -> std::future::Pending<Infallible> { panic!("no beginning") });
        settle().await;
        assert_eq!(workers.down(), Some("worker"));
        workers.end().await;
    }
}
