//! The loop that carries a session over a websocket.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as WsFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::packet::EnginePacket;
use super::websocket::{self, FAREWELL, READ_BUFFER, WRITE_BUFFER, Ws};
use crate::session::{Frame, Session};
use crate::{CloseReason, ParseError, Transport};

/// Written as one future by hand, not as an `async fn`: every connection has one, and this way it holds each of its
/// parts once.
pub(super) struct Pump {
    session: Arc<Session>,
    ws: Ws,
    sleep: Pin<Box<Sleep>>,
    /// What is left of a message that goes out in fragments.
    rest: Bytes,
    /// Bytes handed to the websocket and not yet flushed.
    in_flight: usize,
    /// There are such, if only a frame without content.
    unflushed: bool,
    /// A ping is among them.
    ping: bool,
    /// The buffers took room for more than an idle connection should keep.
    grown: bool,
    /// It is time to give it back: with a ping, which in quiet times is all there is, but not with each of the many
    /// that prove receipts in busy ones.
    trim: bool,
    trimmed_at: Instant,
    /// The operating system would not take all; since then.
    blocked: Option<Instant>,
    /// Our side is shut, or the client's seems to be: the end is due by then.
    farewell: Option<Instant>,
    /// Nothing can be written any more. What the client sent before is still read.
    unwritable: bool,
}

impl Pump {
    pub(super) fn new(session: Arc<Session>, ws: Ws) -> Self {
        let sleep = Box::pin(sleep_until(Instant::now()));
        Self {
            session,
            ws,
            sleep,
            rest: Bytes::new(),
            in_flight: 0,
            unflushed: false,
            ping: false,
            grown: false,
            trim: false,
            trimmed_at: Instant::now(),
            blocked: None,
            farewell: None,
            unwritable: false,
        }
    }

    /// Writes what is queued, several frames at a time. Pending when all is written or no more can be.
    fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Error> {
        if self.unwritable {
            return Poll::Pending;
        }
        loop {
            while self.in_flight < WRITE_BUFFER {
                match Pin::new(&mut self.ws).poll_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(error),
                    Poll::Pending => break,
                }
                let Some(message) = self.next_message() else { break };
                self.unflushed = true;
                if let Err(error) = Pin::new(&mut self.ws).start_send(message) {
                    return Poll::Ready(error);
                }
            }
            if !self.unflushed {
                return Poll::Pending;
            }
            match Pin::new(&mut self.ws).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    let (bytes, ping) = (self.in_flight, self.ping);
                    self.grown |= bytes > READ_BUFFER;
                    (self.in_flight, self.unflushed, self.ping, self.blocked) = (0, false, false, None);
                    self.session.with(|state, config, wakes| state.flushed(bytes, ping, now, config, wakes));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => {
                    self.blocked.get_or_insert(now);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Throws away what is queued: nobody is there to take it.
    fn discard(&mut self, now: Instant) {
        let queued = std::iter::from_fn(|| self.session.with(|state, _, _| state.next_frame()));
        let bytes = queued.map(|frame| frame.len()).sum::<usize>() + self.in_flight;
        (self.in_flight, self.unflushed, self.ping, self.blocked) = (0, false, false, None);
        self.rest = Bytes::new();
        self.session.with(|state, config, wakes| state.flushed(bytes, false, now, config, wakes));
    }

    /// The next frame to write. A long message goes in fragments: the write buffer keeps the room of the longest frame
    /// it ever held, and that for every connection.
    fn next_message(&mut self) -> Option<Message> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Some(self.fragment(rest, Data::Continue));
        }
        let frame = self.session.with(|state, _, _| state.next_frame())?;
        Some(match frame {
            Frame::Text(text) => self.fragment(text.into(), Data::Text),
            Frame::Binary(bytes) => self.fragment(bytes, Data::Binary),
            Frame::Ping => {
                self.in_flight += 1;
                self.ping = true;
                let pause = self.session.server.config.ping_interval / 2;
                self.trim |= self.grown && self.trimmed_at.elapsed() >= pause;
                Message::text("2")
            }
        })
    }

    fn fragment(&mut self, mut message: Bytes, kind: Data) -> Message {
        let first = message.split_to(message.len().min(WRITE_BUFFER));
        self.rest = message;
        self.in_flight += first.len();
        Message::Frame(WsFrame::message(first, OpCode::Data(kind), self.rest.is_empty()))
    }

    /// When blocked output has been stuck for too long.
    fn stalls_at(&self) -> Option<Instant> {
        let since = self.blocked?.max(self.ws.get_ref().last_write());
        Some(since + self.session.server.config.stall_timeout)
    }

    /// Gives back what large messages made the buffers take, by starting with fresh ones. Only while no part of a frame
    /// lies in them.
    fn trimmed(&mut self) -> Result<bool, CloseReason> {
        if !self.trim || self.unflushed || !self.rest.is_empty() || !self.ws.get_ref().is_clean() {
            return Ok(false);
        }
        (self.trim, self.grown, self.trimmed_at) = (false, false, Instant::now());
        let meter = self.ws.get_mut().move_on();
        self.ws = websocket::over(meter, &self.session.server.config)?;
        Ok(true)
    }

    fn receive(&mut self, message: Message) {
        self.ws.get_mut().consumed(&message);
        self.grown |= message.len() > READ_BUFFER;
        match message {
            Message::Text(text) => match EnginePacket::decode(text) {
                Ok(packet) => self.session.receive(packet),
                Err(error) => self.session.close(CloseReason::ParseError(error)),
            },
            Message::Binary(bytes) => self.session.receive(EnginePacket::Binary(bytes)),
            // The websocket's own pings are answered below us, and its close shows as the end of the stream.
            _ => {}
        }
    }

    fn ended(error: &Error) -> CloseReason {
        match error {
            Error::Capacity(_) => CloseReason::ParseError(ParseError::TooLarge),
            Error::Utf8(_) => CloseReason::ParseError(ParseError::Encoding),
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Io(_)
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CloseReason::TransportClosed,
            _ => CloseReason::TransportError,
        }
    }
}

impl Future for Pump {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = &mut *self;
        loop {
            let now = Instant::now();
            let turn = this.session.turn(Transport::Websocket, cx.waker(), now);
            if turn.closed || this.farewell.is_some_and(|until| until <= now) {
                return Poll::Ready(CloseReason::TransportClosed);
            }
            if this.stalls_at().is_some_and(|at| at <= now) {
                return Poll::Ready(CloseReason::Stalled);
            }
            // The client has gone. What it sent before, such as marks as its page was left, is still to be read.
            this.unwritable |= this.poll_write(cx, now).is_ready();
            if this.unwritable {
                this.discard(now);
                this.farewell = turn.may_read.then(|| this.farewell.unwrap_or(now + FAREWELL));
                if turn.closing {
                    return Poll::Ready(CloseReason::TransportClosed);
                }
            }
            if turn.closing && !this.unflushed && this.rest.is_empty() {
                this.farewell.get_or_insert(now + FAREWELL);
                if websocket::poll_hang_up(&mut this.ws, cx).is_ready() {
                    return Poll::Ready(CloseReason::TransportClosed);
                }
            } else if turn.may_read || turn.closing {
                match Pin::new(&mut this.ws).poll_next(cx) {
                    Poll::Ready(Some(Ok(message))) => {
                        this.receive(message);
                        this.farewell = None;
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Self::ended(&error)),
                    Poll::Ready(None) => return Poll::Ready(CloseReason::TransportClosed),
                    Poll::Pending => {}
                }
            }
            if turn.may_read && !turn.closing {
                match this.trimmed() {
                    // The fresh one has to be read from once, to be woken by it.
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(reason) => return Poll::Ready(reason),
                }
            }
            // Writing may have changed what is due, such as the answer to a ping that is on its way now.
            let turn = this.session.turn(Transport::Websocket, cx.waker(), now);
            let deadline = [turn.deadline, this.stalls_at(), this.farewell].into_iter().flatten().min();
            let Some(deadline) = deadline else {
                // Only while a ping waits behind blocked output, which has a deadline of its own.
                return Poll::Pending;
            };
            if this.sleep.deadline() != deadline {
                this.sleep.as_mut().reset(deadline);
            }
            if this.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
