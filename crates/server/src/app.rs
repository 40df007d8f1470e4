//! What the whole server shares.

use crate::http::{Answers, Requests};
use crate::realtime::{Goodbyes, Hub};
use crate::supervise::Workers;
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;
use tidings_auth::Auth;
use tidings_domain::Clock;
use tidings_socketio::Origins;
use tidings_store::Store;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What the whole server shares.
pub struct App {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Who is online here.
    pub hub: Arc<Hub>,
    /// Whose connections are being forgotten.
    pub goodbyes: Goodbyes,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When the server began.
    pub started: Instant,
    /// Who may do what.
    pub auth: Auth,
    /// How many requests of one place or key were served this second.
    pub requests: Requests,
    /// The budget of answers that are being written.
    pub answers: Arc<Answers>,
    /// Which pages may talk to the server.
    pub origins: Origins,
    /// The operator's bounds.
    pub limits: Limits,
    /// What runs beside requests and sockets.
    pub workers: Workers,
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
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether limits by address also hold for loopback.
    pub limit_loopback: bool,
    /// To register a connected socket.
    pub register: Duration,
}
