//! The socket as a handler holds it.

mod ask;
mod connect;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

pub use connect::{ClientAddress, Connect};

use crate::packet::{self, AckId, Incoming, Packet, Position};
use crate::session::Session;
use crate::{CloseReason, Closed, SendError};

/// How a connection is carried at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP long-polling.
    Polling,
    /// A websocket.
    Websocket,
}

/// How a handler ends its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Closes the transport; official clients come back by themselves.
    Transport,
    /// Sends a DISCONNECT packet first; official clients stay away.
    Disconnect,
}

/// One connected client. The handler owns it, and its future is the socket's life: dropping the socket closes the
/// transport.
pub struct Socket {
    session: Arc<Session>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Socket {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self { session }
    }

    /// The identifier that the client sees too. Not a credential.
    pub fn id(&self) -> &str {
        self.session.id.as_str()
    }

    /// How the connection is carried now; it may change from polling to websocket once.
    pub fn transport(&self) -> Transport {
        self.session.with(|state, _, _| state.transport())
    }

    /// Answers the CONNECT. With a `pid`, official JavaScript clients send it and the last offset that they saw when
    /// they come back. Nothing can be sent before. Doing it twice changes nothing.
    pub fn accept(&mut self, pid: Option<&str>) -> Result<(), Closed> {
        let text = packet::connected_text(self.id(), pid).map_err(|_| Closed)?;
        let now = Instant::now();
        self.session.with(|state, _, wakes| state.accept(text, now, wakes))
    }

    /// Refuses the CONNECT: the client gets a `connect_error` with this message and data. Data that does not serialise
    /// is left out. Clients then end the connection; one that does not is closed after the handshake timeout.
    pub fn refuse(self, message: &str, data: Option<&impl Serialize>) {
        let text = packet::connect_error_text(message, data)
            .or_else(|_| packet::connect_error_text(message, None::<&()>));
        let now = Instant::now();
        if let Ok(text) = text {
            self.session.with(|state, config, wakes| state.refuse(text, now, config, wakes));
        }
    }

    /// The next event or receipt; `None` once the socket is gone and everything that had come was read. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Incoming> {
        self.next_incoming(true).await
    }

    /// Like [`Socket::recv`], but takes no event: for a handler that has had enough of them for now and still wants to
    /// hear of the rest. Events wait where they are. With [`crate::Config::inbound_events`] of them waiting the transport
    /// reads no further, and no pong is missed for it. `None` once the socket is gone and no event waits; while one does,
    /// it is for [`Socket::recv`] to end.
    pub async fn recv_without_events(&mut self) -> Option<Incoming> {
        self.next_incoming(false).await
    }

    async fn next_incoming(&mut self, events: bool) -> Option<Incoming> {
        let session = &self.session;
        poll_fn(|cx| {
            session.with(|state, config, wakes| {
                state.poll_recv(cx.waker(), events, Instant::now(), config, wakes)
            })
        })
        .await
    }

    /// Queues a packet. It is accepted while less than [`crate::Config::send_buffer_bytes`] are queued, so that one
    /// packet larger than that still goes into an empty queue. Nothing accepted is ever dropped or skipped while the
    /// socket lives.
    pub fn send(&self, packet: &Packet) -> Result<Position, SendError> {
        let now = Instant::now();
        self.session.with(|state, config, wakes| state.send(packet, now, config, wakes))
    }

    /// Answers an event that asks for it. `args` serialises to a JSON array, as in [`Packet::event`]; a
    /// `serde_json::value::RawValue` is passed through.
    pub fn ack(&self, id: AckId, args: &impl Serialize) -> Result<Position, SendError> {
        self.ack_binary(id, args, Vec::new())
    }

    /// Answers with binary parts, as in [`Packet::binary`].
    pub fn ack_binary(
        &self,
        id: AckId,
        args: &impl Serialize,
        attachments: Vec<Bytes>,
    ) -> Result<Position, SendError> {
        let text = packet::ack_text(id, args, attachments.len())?;
        self.send(&Packet::with_attachments(text, attachments))
    }

    /// Resolves when the queue has drained to half its high-water mark, or the socket is gone.
    pub async fn ready(&self) {
        poll_fn(|cx| self.session.with(|state, config, _| state.poll_ready(cx.waker(), config))).await;
    }

    /// Bytes accepted and not yet handed to the operating system.
    pub fn queued_bytes(&self) -> usize {
        self.session.with(|state, _, _| state.queued_bytes())
    }

    /// Asks for a proof that everything sent so far arrived, within this time if the client answers at once. On a
    /// websocket a ping is sent early for it; on polling the next poll is the proof and nothing needs to be sent. It
    /// arrives as [`Incoming::Receipt`]. Nothing happens if all is proven already.
    pub fn want_receipt(&self, within: Duration) {
        let by = Instant::now() + within;
        self.session.with(|state, _, wakes| state.want_receipt(by, wakes));
    }

    /// Everything up to here is proven to have arrived at the client.
    pub fn received(&self) -> Position {
        self.session.with(|state, _, _| state.received())
    }

    /// Ends the socket. What is queued still goes out, if the client takes it in time.
    pub fn close(&self, how: Close) {
        let now = Instant::now();
        self.session.with(|state, config, wakes| match how {
            Close::Transport => state.close(CloseReason::ServerClosed, now, config, wakes),
            Close::Disconnect => state.disconnect(now, config, wakes),
        });
    }

    /// Why the socket is gone; `None` while it is not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.session.with(|state, _, _| state.close_reason())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let now = Instant::now();
        self.session.with(|state, config, wakes| state.abandon(now, config, wakes));
    }
}
