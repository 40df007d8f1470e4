//! What a handler is told of the client.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use serde_json::value::RawValue;

/// The client's CONNECT and the request that opened its connection. Given by value, so that a socket that does not
/// keep it costs nothing for it.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// The client's `auth`, a JSON object.
    pub auth: Option<Box<RawValue>>,
    /// Who connects: the [`ClientAddress`] extension if there is one (its port is then 0), else the peer of the
    /// connection, if the application serves with `into_make_service_with_connect_info::<SocketAddr>()`.
    pub peer: Option<SocketAddr>,
    /// The headers of the request that opened the connection.
    pub headers: HeaderMap,
    /// Its query, without the question mark.
    pub query: String,
}

/// A request extension with the client's address as a trusted proxy reported it. Set by a layer of the application;
/// it wins over the peer of the connection, also for limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);
