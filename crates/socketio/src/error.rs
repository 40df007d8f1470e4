//! Errors and reasons, by meaning.

use thiserror::Error;

/// The socket is gone: nothing can be sent on it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the socket is closed")]
pub struct Closed;

/// Why a packet was not accepted for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The socket is closed, or was not accepted yet.
    #[error("the socket is closed")]
    Closed,
    /// The outbound queue is at its high-water mark; nothing was queued. Wait for [`crate::Socket::ready`].
    #[error("the outbound queue is full")]
    Full,
    /// The arguments cannot be sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Why arguments cannot be made a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// They do not serialise to JSON, such as a map whose keys are not strings.
    #[error("the arguments do not serialise to JSON")]
    Json,
    /// They serialise to something else than a JSON array; arguments are a tuple, a slice or an array.
    #[error("the arguments do not serialise to a JSON array")]
    NotAnArray,
    /// The first element of the array is not an event name that may be sent.
    #[error("the first element is not an event name")]
    Name,
}

/// Why a question to the client got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AckError {
    /// The socket is closed, or closed before the answer came.
    #[error("the socket is closed")]
    Closed,
    /// The outbound queue is full, or too many questions are open already. Nothing was sent.
    #[error("the outbound queue is full")]
    Full,
    /// No answer within the time given.
    #[error("no answer in time")]
    Timeout,
    /// The arguments cannot be sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// What a peer sent is not the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Nothing where a packet is due.
    #[error("empty packet")]
    Empty,
    /// A packet type that does not exist.
    #[error("unknown packet type")]
    UnknownType,
    /// A count of attachments that is missing, malformed or beyond the limit.
    #[error("illegal attachments")]
    Attachments,
    /// An acknowledgement number that is missing or too large.
    #[error("illegal acknowledgement number")]
    AckId,
    /// The JSON is malformed or not what this packet type carries.
    #[error("invalid payload")]
    Payload,
    /// An event name that is reserved, or no name.
    #[error("illegal event name")]
    EventName,
    /// Base64 or UTF-8 that is not.
    #[error("invalid encoding")]
    Encoding,
    /// Text where an attachment is due, or an attachment where text is.
    #[error("packet out of turn")]
    OutOfTurn,
    /// More bytes or arguments than allowed.
    #[error("packet too large")]
    TooLarge,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client sent a DISCONNECT packet.
    ClientDisconnect,
    /// The client closed its transport, or went away.
    TransportClosed,
    /// Reading or writing failed.
    TransportError,
    /// No pong in time.
    PingTimeout,
    /// The client sent something that is not the protocol.
    ParseError(ParseError),
    /// Two polls, or two posts, of one session at once.
    DuplicateRequest,
    /// No CONNECT in time.
    HandshakeTimeout,
    /// Output was waiting and the client took not one byte of it in time.
    Stalled,
    /// The application refused the CONNECT.
    Refused,
    /// The application disconnected the socket with a packet.
    ServerDisconnect,
    /// The application closed the transport, or dropped the socket.
    ServerClosed,
    /// The server is going down.
    Draining,
}

impl CloseReason {
    /// A stable word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientDisconnect => "client_disconnect",
            Self::TransportClosed => "transport_closed",
            Self::TransportError => "transport_error",
            Self::PingTimeout => "ping_timeout",
            Self::ParseError(_) => "parse_error",
            Self::DuplicateRequest => "duplicate_request",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Stalled => "stalled",
            Self::Refused => "refused",
            Self::ServerDisconnect => "server_disconnect",
            Self::ServerClosed => "server_closed",
            Self::Draining => "draining",
        }
    }
}
