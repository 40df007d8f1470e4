use axum::Router;
use axum::body::Body;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::http::activity::Phase;
use crate::http::connections::{Connections, NoRoom, Place};
use crate::http::explained::{Explained, written_out};
use crate::http::guard::guarded;
use crate::http::paced::{Paced, Patience};
use crate::http::problem::{Code, Problem};
use crate::http::stall::StallGuard;
use crate::http::written::Written;
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
    /// How long a client may take; the time for a head also holds for the first byte and the TLS handshake.
    pub patience: Patience,
    /// How many connections there may be.
    pub connections: Arc<Connections>,
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

async fn accept(site: Arc<Site>, listener: TcpListener, tasks: TaskTracker, shutdown: CancellationToken) {
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    let mut failed: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if failed.is_some_and(|at| at.elapsed() >= SOUND) {
                    failed = None;
                    tracing::info!("connections are accepted again");
                }
                let _ = stream.set_nodelay(true);
                match site.connections.enter(peer.ip()).await {
                    Ok(place) => {
                        tasks.spawn(accepted_one(site.clone(), stream, peer, place, shutdown.clone()));
                    }
                    Err(no_room) => {
                        tracing::debug!(%peer, ?no_room, "a connection was turned away");
                        if site.tls.is_none()
                            && let Ok(permit) = turned_away.clone().try_acquire_owned()
                        {
                            tasks.spawn(turn_away(stream, no_room, permit));
                        }
                    }
                }
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors, mostly: others must end before more can begin. Said once, and not for every try.
                if failed.replace(Instant::now()).is_none() {
                    tracing::error!(%error, "connections cannot be accepted");
                }
                site.connections.make_room();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Connections are accepted again when that has not failed for so long: on the edge it fails and succeeds by turns.
const SOUND: Duration = Duration::from_secs(10);

/// So many connections for which there is no room are told so at once; others are just closed.
const TURNED_AWAY: usize = 16;

async fn turn_away(mut stream: TcpStream, no_room: NoRoom, _permit: OwnedSemaphorePermit) {
    let (code, detail) = match no_room {
        NoRoom::Server => (Code::Unavailable, "there are too many connections; try again"),
        NoRoom::Address => (Code::RateLimited, "there are too many connections from this address"),
    };
    let answer = written_out(Problem::new(code, detail));
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // Closed with something unread, it would be reset before its client has read the answer.
        tokio::io::copy(&mut stream.take(64 * 1024), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}

async fn accepted_one(
    site: Arc<Site>,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    shutdown: CancellationToken,
) {
    let begun = async {
        if !speaks(&stream, site.patience.head, &shutdown).await {
            tracing::debug!(%peer, "a connection ended before its first byte");
            return None;
        }
        let Some(tls) = &site.tls else { return Some(Stream::Plain(stream)) };
        match tokio::time::timeout(site.patience.head, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => return Some(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS handshake"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
        None
    };
    let begun = tokio::select! {
        // Who has something to say is heard.
        biased;
        begun = begun => begun,
        () = place.activity.evicted() => None,
    };
    match begun {
        Some(Stream::Plain(stream)) => Box::pin(connection(site, stream, peer, place, shutdown)).await,
        Some(Stream::Tls(stream)) => Box::pin(connection(site, *stream, peer, place, shutdown)).await,
        None => {}
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
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
    place: Place,
    shutdown: CancellationToken,
) {
    let activity = place.activity.clone();
    let stream = Paced::new(StallGuard::new(stream), place, site.patience, shutdown.clone());
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let (site, activity) = (site.clone(), activity.clone());
        activity.enter(Phase::Serving);
        async move {
            let (response, held) = guarded(&site, request.map(Body::new), peer.ip()).await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                activity.enter(Phase::Upgraded);
            }
            Ok::<_, Infallible>(response.map(|body| Written::new(body, activity, held)))
        }
    });
    // Without a timeout of its own: the stream has them.
    let connection = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(Explained::new(stream)), service)
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
