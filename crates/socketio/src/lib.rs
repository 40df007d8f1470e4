//! An Engine.IO 4 and Socket.IO 5 server over axum.

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
pub use origin::Origins;
pub use packet::{AckId, Body, Event, Incoming, MAX_ARGUMENTS, Packet, Position, WirePacket, decode, encode};
pub use server::SocketIo;
pub use session::Answer;
pub use socket::{ClientAddress, Close, Connect, Socket, Transport};
