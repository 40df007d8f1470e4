//! The websocket handshake.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::meter::Meter;
use super::response::ErrorCode;
use crate::{CloseReason, Config};

pub(super) type Ws = WebSocketStream<Meter<TokioIo<Upgraded>>>;

/// Frames are gathered up to about this many bytes for one write, and none is longer, so that this bounds what a
/// connection's write buffer takes.
pub(super) const WRITE_BUFFER: usize = 4_096;

/// What the write buffer never exceeds. Our own frames stay far below it; the rest is for answers to the client's websocket
/// pings, of which one that sends pings and reads nothing would otherwise make as many as it likes.
const MAX_WRITE_BUFFER: usize = 8 * WRITE_BUFFER;

/// Every connection has one, so it is small; it grows for a large frame, until the next trim.
pub(super) const READ_BUFFER: usize = 1_024;

/// How long a client may take to shut its side of a connection that we end.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// From the answer 101 to the connection being ours.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers a request for a websocket; what comes of the connection is in the second part.
pub(super) fn accept(request: &mut Request) -> Result<(Response, OnUpgrade), ErrorCode> {
    let headers = request.headers();
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(ErrorCode::BadRequest)?;
    let asked = has_token(headers, header::CONNECTION, "upgrade")
        && has_token(headers, header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|v| v.as_bytes() == b"13");
    if !asked {
        return Err(ErrorCode::BadRequest);
    }
    let accept =
        HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| ErrorCode::BadRequest)?;
    let subprotocol = first_subprotocol(headers);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or(ErrorCode::BadRequest)?;

    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    Ok((response, upgrade))
}

/// A client that offers names gives up unless one of them is chosen. They mean nothing here, so the first one is.
fn first_subprotocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').map(str::trim).find(|name| !name.is_empty())?;
    HeaderValue::from_str(first).ok()
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// Ends the connection without a close frame. Some clients never return after one without a code, and every client that
/// reconnects at all does so after the end of its connection. What was written still arrives: our side is shut first, and
/// what the client sends until it has shut its own is thrown away. Resolves then; a caller bounds that by [`FAREWELL`].
pub(super) fn poll_hang_up(ws: &mut Ws, cx: &mut Context<'_>) -> Poll<()> {
    let io = ws.get_mut();
    if let Poll::Ready(Err(_)) = Pin::new(&mut *io).poll_shutdown(cx) {
        return Poll::Ready(());
    }
    let mut scratch = [MaybeUninit::uninit(); 512];
    loop {
        let mut unread = ReadBuf::uninit(&mut scratch);
        match Pin::new(&mut *io).poll_read(cx, &mut unread) {
            Poll::Ready(Ok(())) if !unread.filled().is_empty() => {}
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// The same for who can wait.
pub(super) async fn hang_up(mut ws: Ws) {
    let _ = tokio::time::timeout(FAREWELL, poll_fn(|cx| poll_hang_up(&mut ws, cx))).await;
}

/// Waits until the connection is ours.
pub(super) async fn upgraded(upgrade: OnUpgrade, config: &Config) -> Result<Ws, CloseReason> {
    let io = tokio::time::timeout(SWITCH_TIMEOUT, upgrade)
        .await
        .map_err(|_| CloseReason::TransportClosed)?
        .map_err(|_| CloseReason::TransportClosed)?;
    over(Meter::new(TokioIo::new(io)), config)
}

/// A websocket with fresh buffers over a connection on which no frame is under way. Nothing is sent or waited for.
pub(super) fn over(meter: Meter<TokioIo<Upgraded>>, config: &Config) -> Result<Ws, CloseReason> {
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(config.max_packet_bytes))
        .max_frame_size(Some(config.max_packet_bytes));
    let ws = WebSocketStream::from_raw_socket(meter, Role::Server, Some(limits)).now_or_never();
    ws.ok_or(CloseReason::TransportError)
}
