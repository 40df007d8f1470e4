//! What a connection waits for, shared by what reads it, what serves it, and the table of connections.

use futures_util::task::AtomicWaker;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::time::{Duration, Instant};

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The client's, to begin a request.
    Idle,
    /// The client's, to finish the head that it has begun.
    Head,
    /// The server's: a request is being served.
    Serving,
    /// Nobody's: it is a websocket now.
    Upgraded,
}

/// What a connection waits for, and since when.
pub struct Activity {
    origin: Instant,
    phase: AtomicU8,
    /// When the client's turn began, in milliseconds after `origin`.
    since: AtomicU64,
    evicted: AtomicBool,
    waker: AtomicWaker,
}

impl Activity {
    /// A new connection, which waits for its first request.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            phase: AtomicU8::new(Phase::Idle as u8),
            since: AtomicU64::new(0),
            evicted: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// Whose turn it is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Serving,
            _ => Phase::Upgraded,
        }
    }

    /// Begins a phase.
    pub fn enter(&self, phase: Phase) {
        if matches!(phase, Phase::Idle | Phase::Head) {
            self.since.store(millis(self.origin, Instant::now()), Ordering::Relaxed);
        }
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Since when it is the client's turn; `None` when it is not.
    pub fn waiting_since(&self) -> Option<Instant> {
        matches!(self.phase(), Phase::Idle | Phase::Head)
            .then(|| self.origin + Duration::from_millis(self.since.load(Ordering::Relaxed)))
    }

    /// Ends the connection as soon as it is the client's turn: its place is needed.
    pub fn evict(&self) {
        self.evicted.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether its place is needed. If not, the task is woken when it is.
    pub fn poll_evicted(&self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.is_evicted() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether its place is needed.
    pub fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Acquire)
    }

    /// Resolves when its place is needed.
    pub async fn evicted(&self) {
        poll_fn(|context| self.poll_evicted(context)).await;
    }
}

fn millis(origin: Instant, now: Instant) -> u64 {
    u64::try_from(now.duration_since(origin).as_millis()).unwrap_or(u64::MAX)
}
