use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::http::guard::guarded;
use crate::http::stall::StallGuard;
use crate::tls::Tls;

/// The most that a connection buffers of a request's head, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// How many headers a request may have.
const HEADERS: usize = 100;

/// What is served, and how.
pub struct Site {
    /// What the whole server shares.
    pub app: Arc<App>,
    /// Its routes.
    pub router: Router,
    /// TLS, unless a proxy does it.
    pub tls: Option<Arc<Tls>>,
    /// To send a request's head, and to finish a TLS handshake.
    pub head_timeout: Duration,
}

/// Serves connections until `shutdown`, then lets those in flight finish; returns when all are gone or `patience` is over.
pub async fn serve(site: Site, listeners: Vec<TcpListener>, shutdown: CancellationToken, patience: Duration) {
    let site = Arc::new(site);
    let connections = TaskTracker::new();
    let accepting = TaskTracker::new();
    for listener in listeners {
        accepting.spawn(accept(site.clone(), listener, connections.clone(), shutdown.clone()));
    }
    accepting.close();
    accepting.wait().await;
    connections.close();
    let _ = tokio::time::timeout(patience, connections.wait()).await;
}

async fn accept(
    site: Arc<Site>,
    listener: TcpListener,
    connections: TaskTracker,
    shutdown: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                connections.spawn(accepted_one(site.clone(), stream, peer, shutdown.clone()));
            }
            Err(error) => {
                // Out of file descriptors, mostly: others must end before more can begin.
                if !is_of_the_connection(&error) {
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

async fn accepted_one(site: Arc<Site>, stream: TcpStream, peer: SocketAddr, shutdown: CancellationToken) {
    if !speaks(&stream, site.head_timeout, &shutdown).await {
        tracing::debug!(%peer, "a connection ended before its first byte");
        return;
    }
    let Some(tls) = &site.tls else {
        return Box::pin(connection(site, stream, peer, shutdown)).await;
    };
    let acceptor = tls.acceptor();
    match tokio::time::timeout(site.head_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Box::pin(connection(site, stream, peer, shutdown)).await,
        Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS handshake"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

/// Waits for the first byte. Until then a connection has no buffers (16 KiB) and nothing of what serves it, which is why
/// that is boxed: thousands may connect at once, and their requests come one after the other.
async fn speaks(stream: &TcpStream, patience: Duration, shutdown: &CancellationToken) -> bool {
    // Not `readable()`, which may say so too early.
    let mut first = [0];
    tokio::select! {
        // A request that has come is in flight, and is served.
        biased;
        peeked = tokio::time::timeout(patience, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(1))),
        () = shutdown.cancelled() => false,
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    site: Arc<Site>,
    stream: T,
    peer: SocketAddr,
    shutdown: CancellationToken,
) {
    let head_timeout = site.head_timeout;
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let site = site.clone();
        async move { guarded(&site, request.map(Body::new), peer.ip()).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(StallGuard::new(stream)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection ended");
    }
}
