//! What the whole server shares.

use crate::realtime::Hub;
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::Clock;
use tidings_socketio::Origins;
use tidings_store::Store;
use tokio_util::sync::CancellationToken;

/// What the whole server shares.
pub struct App {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Who is online here.
    pub hub: Arc<Hub>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Which pages may talk to the server.
    pub origins: Origins,
    /// The operator's bounds.
    pub limits: Limits,
    /// Set when the server is asked to end: nothing new is begun.
    pub draining: CancellationToken,
}

/// The operator's bounds that handlers and sessions hold.
#[derive(Debug, Clone)]
pub struct Limits {
    /// One request, in bytes.
    pub body: usize,
    /// One batch, in bytes.
    pub batch: usize,
    /// Sockets of one user; 0: no limit.
    pub sockets_per_user: usize,
    /// Events a second from one socket; 0: no limit.
    pub events_per_second: u32,
    /// To register a connected socket.
    pub register: Duration,
}
