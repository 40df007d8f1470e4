//! Socket.IO packets: what goes out, what comes in, and the text between.

mod decode;
mod encode;
mod event;
mod outgoing;

pub use decode::{Body, MAX_ARGUMENTS, WirePacket, decode};
pub use encode::encode;
pub(crate) use encode::{ack_text, connect_error_text, connected_text, event_text, invalid_namespace_text};
pub use event::{AckId, Event, Incoming, Position};
pub use outgoing::Packet;

/// Names that mean something to the libraries on either side and must not come over the wire.
pub(crate) const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
