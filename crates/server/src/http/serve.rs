use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::http::stall::StallGuard;
use crate::tls::Tls;

/// The most that a connection buffers of a request's head, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// How many headers a request may have.
const HEADERS: usize = 100;

/// Serves connections until `shutdown`, then lets those in flight finish; returns when all are gone or `patience` is over.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    head_timeout: Duration,
    shutdown: CancellationToken,
    patience: Duration,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let (router, shutdown) = (router.clone(), shutdown.clone());
                match tls.as_ref().map(|tls| tls.acceptor()) {
                    None => {
                        connections.spawn(connection(router, stream, peer, head_timeout, shutdown));
                    }
                    Some(acceptor) => {
                        connections.spawn(async move {
                            match tokio::time::timeout(head_timeout, acceptor.accept(stream)).await {
                                Ok(Ok(stream)) => {
                                    connection(router, stream, peer, head_timeout, shutdown).await
                                }
                                Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS handshake"),
                                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                            }
                        });
                    }
                }
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
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(patience, connections.wait()).await;
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    router: Router,
    stream: T,
    peer: SocketAddr,
    head_timeout: Duration,
    shutdown: CancellationToken,
) {
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
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
