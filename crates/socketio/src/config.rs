//! Every bound and every wait of the server, in one place.

use std::time::Duration;

use crate::Origins;

/// What the server allows and how long it waits. All memory that one connection can take follows from these numbers.
#[derive(Clone, Debug)]
pub struct Config {
    /// The request path, `/socket.io/` by default. Served with and without the trailing slash.
    pub path: String,
    /// Silence after a pong before the next ping, 25 s.
    pub ping_interval: Duration,
    /// How long a client may take to answer a ping, 20 s.
    pub ping_timeout: Duration,
    /// From the Engine.IO open to the Socket.IO CONNECT, 10 s; after it the transport is closed. Also how long a
    /// connection may linger after its socket was refused or disconnected by the client.
    pub handshake_timeout: Duration,
    /// The largest websocket message or polling body accepted, 65,536 bytes. Announced as `maxPayload`.
    pub max_packet_bytes: usize,
    /// The largest number of binary attachments of one packet, 10.
    pub max_attachments: usize,
    /// The largest packet including all its attachments, 262,144 bytes.
    pub max_assembled_bytes: usize,
    /// Events that may wait for the application, 16; with so many waiting the transport stops reading, which is
    /// felt by the client as back-pressure.
    pub inbound_events: usize,
    /// The same by their size, 65,536 bytes; the event that crosses it is still taken.
    pub inbound_bytes: usize,
    /// Questions of the server (`emit_with_ack`) that may be unanswered at once, 16.
    pub pending_acks: usize,
    /// High-water mark of the outbound queue, 65,536 bytes: at or above it nothing more is accepted.
    pub send_buffer_bytes: usize,
    /// Output is waiting and not one byte was taken for this long: closed. 15 s. Also the longest that a closing
    /// connection is given to take what was queued before.
    pub stall_timeout: Duration,
    /// From the websocket's opening to the end of the upgrade from polling, 10 s.
    pub upgrade_timeout: Duration,
    /// Which browser origins may connect. Same origin only by default.
    pub origins: Origins,
    /// Open connections in all, 100,000; 0 is no limit. Beyond it a handshake is answered 503.
    pub max_sockets: usize,
    /// Open connections from one address, 1,000; 0 is no limit. Beyond it a handshake is answered 429.
    pub max_sockets_per_address: usize,
    /// Handshakes per second in all; 0, the default, is no limit. Beyond it a handshake is answered 503.
    pub max_handshakes_per_second: u32,
    /// Whether the limit by address also holds for loopback peers; `false` by default, since a proxy on the same
    /// machine would otherwise be one address with all its clients.
    pub limit_loopback: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(10),
            max_packet_bytes: 65_536,
            max_attachments: 10,
            max_assembled_bytes: 262_144,
            inbound_events: 16,
            inbound_bytes: 65_536,
            pending_acks: 16,
            send_buffer_bytes: 65_536,
            stall_timeout: Duration::from_secs(15),
            upgrade_timeout: Duration::from_secs(10),
            origins: Origins::default(),
            max_sockets: 100_000,
            max_sockets_per_address: 1_000,
            max_handshakes_per_second: 0,
            limit_loopback: false,
        }
    }
}
