//! An Engine.IO 4 and Socket.IO 5 server over axum, with bounded memory, back-pressure and proof of receipt.
//!
//! The official clients work unchanged, over websocket, HTTP long-polling and the upgrade from one to the other. What
//! it is made for:
//!
//! - **The handler is the socket.** One future for each client that sends CONNECT; it owns its [`Socket`], and when it
//!   returns the socket is gone. It is called before the CONNECT is answered, so it decides about that too, and what
//!   the client sends meanwhile waits for it.
//! - **Nothing is dropped and nothing grows.** [`Socket::send`] says [`SendError::Full`] at the high-water mark, and
//!   [`Socket::ready`] waits for room. An application that does not read stops the transport from reading;
//!   [`Socket::recv_without_events`] is for one that slows a client down and still wants to hear of receipts. Everything
//!   a connection may hold has its bound in [`Config`]. A client that takes no byte of its output for a while is closed.
//! - **Receipts.** [`Socket::want_receipt`] has the transport prove that what was sent arrived, without the client
//!   knowing of it: see [`Incoming::Receipt`].
//! - **Encoded once.** A [`Packet`] is shared between sockets down to the bytes that are written.
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use tidings_socketio::{Config, Connect, Incoming, Packet, Socket, SocketIo};
//!
//! async fn greet(mut socket: Socket, connect: Connect) {
//!     // `connect.auth` is what the client's `auth` option holds. To turn it away: `socket.refuse("no", None::<&()>)`.
//!     if socket.accept(None).is_err() {
//!         return;
//!     }
//!     let Ok(hello) = Packet::event("hello", &("world", 1)) else { return };
//!     if socket.send(&hello).is_err() {
//!         return;
//!     }
//!     while let Some(incoming) = socket.recv().await {
//!         if let Incoming::Event(event) = incoming
//!             && let Some(ack) = event.ack
//!         {
//!             // The client asked; it gets its own arguments back.
//!             let _ = socket.ack(ack, &event.args);
//!         }
//!     }
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! let io = SocketIo::new(Config::default(), greet);
//! let app = io.router().into_make_service_with_connect_info::<SocketAddr>();
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await
//! # }
//! ```
//!
//! `examples/echo.rs` is a whole server. Left to the application: authentication, CORS headers (a layer over
//! [`SocketIo::router`] that asks [`Origins::allows`]), request timeouts for HTTP headers, TLS.
//!
//! Of the protocol there is one namespace, `/`; any other is refused as the protocol says. There is no JSONP, no
//! WebTransport, no compression of websocket messages and no Engine.IO 3.
//!
//! # Inside
//!
//! `packet` reads and writes Socket.IO packets; `session` is one connection as a state machine without I/O behind a
//! lock; `engine` is what does the I/O: each request and each websocket steps that state machine; `socket` is the
//! handler's side of it. [`decode`], [`decode_payload`] and [`EnginePacket::decode`] read what strangers send and are
//! public to be fuzzed.

mod config;
mod engine;
mod error;
mod origin;
mod packet;
mod server;
mod session;
mod socket;

pub use config::Config;
pub use engine::{EnginePacket, Payload, decode_payload, encode_payload};
pub use error::{AckError, CloseReason, Closed, EncodeError, ParseError, SendError};
pub use origin::{Foreign, Origins};
pub use packet::{AckId, Body, Event, Incoming, MAX_ARGUMENTS, Packet, Position, WirePacket, decode, encode};
pub use server::SocketIo;
pub use session::Answer;
pub use socket::{ClientAddress, Close, Connect, Socket, Transport};
