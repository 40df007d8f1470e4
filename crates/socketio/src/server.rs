//! The server as an application holds it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use tokio::time::Instant;

use crate::engine::{self, Registry, Warnings};
use crate::{CloseReason, Config, Connect, Socket};

/// Starts the application's handler as a task of its own.
type Handler = Box<dyn Fn(Socket, Connect) + Send + Sync>;

/// A Socket.IO server. Cheap to clone; all clones are the same server.
#[derive(Clone, Debug)]
pub struct SocketIo {
    server: Arc<Server>,
}

/// What all connections share.
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) handler: Handler,
    pub(crate) registry: Registry,
    pub(crate) warnings: Warnings,
    pub(crate) draining: AtomicBool,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("config", &self.config).finish_non_exhaustive()
    }
}

impl SocketIo {
    /// A server that calls `handler` for every client that sends CONNECT. The handler's future is the life of the
    /// socket: when it returns, the transport is closed.
    pub fn new<H, F>(config: Config, handler: H) -> Self
    where
        H: Fn(Socket, Connect) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        // Spawned where its type is still known, so that the future lies in its task and not in a box besides.
        let handler: Handler = Box::new(move |socket, connect| {
            tokio::spawn(handler(socket, connect));
        });
        let registry = Registry::new(&config);
        Self {
            server: Arc::new(Server {
                config,
                handler,
                registry,
                warnings: Warnings::default(),
                draining: AtomicBool::new(false),
            }),
        }
    }

    /// The routes, with and without the trailing slash. CORS headers and the answer to OPTIONS are left to a layer of
    /// the application; [`crate::Origins::allows`] is the policy to ask.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let bare = self.server.config.path.trim_end_matches('/');
        let serve = |server: Arc<Server>| any(move |request: Request| engine::serve(server.clone(), request));
        let mut router = Router::new().route(&format!("{bare}/"), serve(self.server.clone()));
        if !bare.is_empty() {
            router = router.route(bare, serve(self.server.clone()));
        }
        router
    }

    /// Open connections, those included that have not sent CONNECT yet.
    pub fn sockets(&self) -> usize {
        self.server.registry.len()
    }

    /// Ends the service: new handshakes are answered 503 from now on, and the open connections are closed evenly
    /// over this time, as transports, so that official clients reconnect by themselves and not all at once. Returns
    /// when all are gone or the time is up.
    pub async fn drain(&self, over: Duration) {
        self.server.draining.store(true, Ordering::Relaxed);
        let end = Instant::now() + over;
        // The last ones need a moment to go, too.
        let spread = over.mul_f64(0.9);
        let start = Instant::now();
        let sessions = self.server.registry.all();
        let count = u32::try_from(sessions.len()).unwrap_or(u32::MAX).max(1);
        for (n, session) in (0u32..).zip(sessions) {
            tokio::time::sleep_until(start + spread * n / count).await;
            session.close(CloseReason::Draining);
        }
        // One may have been in its handshake when the list was made.
        for session in self.server.registry.all() {
            session.close(CloseReason::Draining);
        }
        let _ = tokio::time::timeout_at(end, self.server.registry.empty()).await;
    }
}
