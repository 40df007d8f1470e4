//! Engine.IO over HTTP: from a request to a connection.

mod keeper;
mod meter;
mod open;
mod packet;
mod payload;
mod poll;
mod post;
mod pump;
mod query;
mod registry;
mod response;
pub(crate) mod sid;
mod upgrade;
mod warnings;
mod websocket;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::Method;
use tokio::time::Instant;

pub use packet::EnginePacket;
pub use payload::{Payload, decode_payload, encode_payload};
pub(crate) use registry::{NoRoom, Registry};
pub(crate) use warnings::{Misfit, Warnings};

use crate::Transport;
use crate::server::Server;
use query::Query;
use response::ErrorCode;

/// Answers one request on the server's path.
pub(crate) async fn serve(server: Arc<Server>, request: Request) -> Response {
    route(server, request).await.unwrap_or_else(ErrorCode::response)
}

async fn route(server: Arc<Server>, request: Request) -> Result<Response, ErrorCode> {
    if !server.config.origins.allows(request.headers()) {
        return Err(ErrorCode::Forbidden);
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let transport = query.transport.ok_or(ErrorCode::UnknownTransport)?;
    if query.version != Some("4") {
        if query.version.is_some() {
            let address = open::peer(&request).map(|peer| peer.ip());
            server.warnings.warn(Misfit::Version, address, Instant::now());
        }
        return Err(ErrorCode::UnsupportedVersion);
    }
    let session = match query.sid {
        Some(sid) => Some(sid.and_then(|sid| server.registry.get(&sid)).ok_or(ErrorCode::UnknownSid)?),
        None => None,
    };
    match (session, transport, request.method()) {
        (None, _, method) if method != Method::GET => Err(ErrorCode::BadMethod),
        (None, Transport::Polling, _) => open::polling(server, &request),
        (None, Transport::Websocket, _) => open::websocket(server, request),
        (Some(session), Transport::Polling, &Method::GET) => poll::serve(session).await,
        (Some(session), Transport::Polling, &Method::POST) => post::serve(session, request).await,
        (Some(session), Transport::Websocket, &Method::GET) => upgrade::serve(session, request),
        (Some(_), ..) => Err(ErrorCode::BadMethod),
    }
}
