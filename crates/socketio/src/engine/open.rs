//! The Engine.IO handshake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tokio::time::Instant;

use super::response::{self, ErrorCode};
use super::sid::Sid;
use super::{keeper, pump, websocket};
use crate::server::Server;
use crate::session::{Session, State};
use crate::{ClientAddress, Connect, Transport};

/// What is kept of a request until the CONNECT comes; more is refused.
const MAX_REQUEST_BYTES: usize = 16_384;

/// The open packet's content.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Open<'a> {
    sid: &'a str,
    upgrades: &'a [&'a str],
    ping_interval: u64,
    ping_timeout: u64,
    max_payload: usize,
}

/// A polling session begins.
pub(super) fn polling(server: Arc<Server>, request: &Request) -> Result<Response, ErrorCode> {
    let (session, open) = session(server, request, Transport::Polling)?;
    tokio::spawn(keeper::Keeper::new(session));
    Ok(response::payload(open.into()))
}

/// A session begins as a websocket.
pub(super) fn websocket(server: Arc<Server>, mut request: Request) -> Result<Response, ErrorCode> {
    let (response, upgrade) = websocket::accept(&mut request)?;
    let (session, open) = session(server, &request, Transport::Websocket)?;
    session.with(|state, _, wakes| state.send_control(open, Instant::now(), wakes));
    // The request is not kept: its headers would pin the buffer they were read into.
    drop(request);
    tokio::spawn(async move {
        let reason = match websocket::upgraded(upgrade, &session.server.config).await {
            Ok(ws) => pump::Pump::new(session.clone(), ws).await,
            Err(reason) => reason,
        };
        session.retire(reason);
    });
    Ok(response)
}

/// Enters a new session, if there is room, and writes its open packet.
fn session(
    server: Arc<Server>,
    request: &Request,
    transport: Transport,
) -> Result<(Arc<Session>, String), ErrorCode> {
    if server.draining.load(Ordering::Relaxed) {
        return Err(ErrorCode::Draining);
    }
    let connect = Box::new(connect(request)?);
    let address = server.registry.counted(connect.peer.map(|peer| peer.ip()));
    let (sid, id) = Sid::random().zip(Sid::random()).ok_or(ErrorCode::Internal)?;
    let now = Instant::now();
    let state = State::new(now, &server.config, connect, transport);
    let session = Session::new(sid, id, address, server.clone(), state);
    server.registry.insert(session.clone(), now).map_err(ErrorCode::NoRoom)?;
    tracing::debug!(?sid, ?transport, "connection opened");

    let config = &server.config;
    let open = Open {
        sid: sid.as_str(),
        upgrades: if transport == Transport::Polling { &["websocket"] } else { &[] },
        ping_interval: millis(config.ping_interval),
        ping_timeout: millis(config.ping_timeout),
        max_payload: config.max_packet_bytes,
    };
    let open = serde_json::to_string(&open).map_err(|_| ErrorCode::Internal)?;
    Ok((session, format!("0{open}")))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Copies what the application will be told. A clone would share, and so keep, the buffer the request was read into.
fn connect(request: &Request) -> Result<Connect, ErrorCode> {
    let query = request.uri().query().unwrap_or_default();
    let names = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if query.len() + names.sum::<usize>() > MAX_REQUEST_BYTES {
        return Err(ErrorCode::HeadersTooLarge);
    }
    let mut headers = HeaderMap::with_capacity(request.headers().len());
    for (name, value) in request.headers() {
        let copy = HeaderName::from_bytes(name.as_str().as_bytes())
            .ok()
            .zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        if let Some((name, value)) = copy {
            headers.append(name, value);
        }
    }
    Ok(Connect { auth: None, peer: peer(request), headers, query: query.to_owned() })
}

/// Who asks.
pub(super) fn peer(request: &Request) -> Option<SocketAddr> {
    let extensions = request.extensions();
    let reported = extensions.get::<ClientAddress>().map(|client| SocketAddr::new(client.0, 0));
    reported.or_else(|| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0))
}
