//! The life of one connection, without I/O: what happened goes in, what to do comes out. Time is a parameter.

use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::heartbeat::{Beat, Heartbeat};
use super::inbox::Inbox;
use super::outbox::{Frame, Outbox};
use super::polling::Polling;
use super::questions::Questions;
use super::wakes::Wakes;
use crate::packet::{Incoming, Packet, Position};
use crate::{CloseReason, Config, Connect, SendError, Transport};

/// For the end of a connection that has nothing more to take but its close frame.
const BRIEF_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct State {
    pub(super) life: Life,
    pub(super) stage: Stage,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) heartbeat: Heartbeat,
    pub(super) questions: Questions,
    /// What only polling needs; given up once the connection is a websocket.
    pub(super) polling: Option<Box<Polling>>,
    pub(super) transport: Transport,
    pub(super) sent: Position,
    reported: Position,
    /// The application has yet to hear that the connection is a websocket now.
    pub(super) upgraded: bool,
    driver: Option<Waker>,
    recv: Option<Waker>,
    ready: Vec<Waker>,
}

/// Of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    /// Nothing more is taken in either direction; what is queued may still go out, until then.
    Closing {
        reason: CloseReason,
        until: Instant,
    },
    Closed(CloseReason),
}

/// Of the Socket.IO socket on it.
#[derive(Debug)]
pub(super) enum Stage {
    /// No CONNECT yet; keeps what the application will be told of the request.
    Opening {
        until: Instant,
        request: Box<Connect>,
    },
    /// The handler was called and has not answered yet.
    Waiting,
    Connected,
    /// Refused, or disconnected by the client. A client ends the connection itself; until then it may linger.
    Over {
        until: Instant,
        reason: CloseReason,
    },
}

impl State {
    pub(crate) fn new(now: Instant, config: &Config, request: Box<Connect>, transport: Transport) -> Self {
        Self {
            life: Life::Open,
            stage: Stage::Opening { until: now + config.handshake_timeout, request },
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            heartbeat: Heartbeat::new(now, config.ping_interval, config.ping_timeout),
            questions: Questions::default(),
            polling: (transport == Transport::Polling).then(Box::default),
            transport,
            sent: 0,
            reported: 0,
            upgraded: false,
            driver: None,
            recv: None,
            ready: Vec::new(),
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn is_open(&self) -> bool {
        self.life == Life::Open
    }

    /// Set once nothing more will happen at all.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.life, Life::Closed(_))
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.life, Life::Closing { .. })
    }

    /// Why the socket ended, once it has.
    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        match (self.life, &self.stage) {
            (_, Stage::Over { reason, .. }) => Some(*reason),
            (Life::Closing { reason, .. } | Life::Closed(reason), _) => Some(reason),
            (Life::Open, _) => None,
        }
    }

    fn is_usable(&self) -> bool {
        self.is_open() && !matches!(self.stage, Stage::Over { .. })
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant, config: &Config, wakes: &mut Wakes) {
        match self.life {
            Life::Closed(_) => return,
            Life::Closing { reason, until } => {
                if until <= now {
                    self.finish(reason, wakes);
                }
                return;
            }
            Life::Open => {}
        }
        match self.stage {
            Stage::Opening { until, .. } if until <= now => {
                return self.close(CloseReason::HandshakeTimeout, now, config, wakes);
            }
            Stage::Over { until, reason } if until <= now => return self.close(reason, now, config, wakes),
            _ => {}
        }
        if self.polling_stalls_at(config).is_some_and(|at| at <= now) {
            return self.close(CloseReason::Stalled, now, config, wakes);
        }
        if self.inbox.is_full(config) {
            self.heartbeat.forgive(now);
        }
        match self.heartbeat.tick(now, self.sent, self.transport == Transport::Polling) {
            Beat::Nothing => {}
            Beat::TimedOut => self.close(CloseReason::PingTimeout, now, config, wakes),
            Beat::SendPing => {
                self.outbox.push(Frame::Ping);
                self.output(now, wakes);
            }
        }
    }

    /// When to call [`State::tick`] next, if nothing else happens.
    pub(crate) fn deadline(&self, config: &Config) -> Option<Instant> {
        match self.life {
            Life::Closed(_) => return None,
            Life::Closing { until, .. } => return Some(until),
            Life::Open => {}
        }
        let stage = match self.stage {
            Stage::Opening { until, .. } | Stage::Over { until, .. } => Some(until),
            Stage::Waiting | Stage::Connected => None,
        };
        let heartbeat = self.heartbeat.deadline(self.transport == Transport::Polling);
        [stage, heartbeat, self.polling_stalls_at(config)].into_iter().flatten().min()
    }

    fn accepts(&self, config: &Config) -> Result<(), SendError> {
        if !self.is_open() || !matches!(self.stage, Stage::Connected) {
            return Err(SendError::Closed);
        }
        if self.is_full(config) { Err(SendError::Full) } else { Ok(()) }
    }

    pub(super) fn is_full(&self, config: &Config) -> bool {
        self.outbox.bytes() >= config.send_buffer_bytes.max(1)
    }

    pub(crate) fn send(
        &mut self,
        packet: &Packet,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) -> Result<Position, SendError> {
        self.accepts(config)?;
        self.outbox.push_packet(packet);
        self.sent += 1;
        self.output(now, wakes);
        Ok(self.sent)
    }

    /// Queues what belongs to the protocol itself.
    pub(crate) fn send_control(&mut self, text: String, now: Instant, wakes: &mut Wakes) {
        self.outbox.push(Frame::Text(text.into()));
        self.output(now, wakes);
    }

    /// Something was queued: whoever writes should come.
    fn output(&mut self, now: Instant, wakes: &mut Wakes) {
        if let (Transport::Polling, Some(polling)) = (self.transport, &mut self.polling) {
            polling.waiting_since.get_or_insert(now);
            wakes.add(polling.poll.take());
        }
        // Also on polling: the driver's deadline may be nearer now.
        wakes.add(self.driver.take());
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    pub(crate) fn poll_ready(&mut self, waker: &Waker, config: &Config) -> Poll<()> {
        if !self.is_usable() || self.outbox.bytes() <= config.send_buffer_bytes / 2 {
            return Poll::Ready(());
        }
        if !self.ready.iter().any(|w| w.will_wake(waker)) {
            self.ready.push(waker.clone());
        }
        Poll::Pending
    }

    /// The next frame for a websocket to write.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        if self.is_closed() { None } else { self.outbox.pop() }
    }

    /// The websocket wrote and flushed these.
    pub(crate) fn flushed(
        &mut self,
        bytes: usize,
        ping: bool,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) {
        self.outbox.written(bytes);
        if ping {
            self.heartbeat.written(now);
        }
        if self.outbox.bytes() <= config.send_buffer_bytes / 2 {
            wakes.add_all(self.ready.drain(..));
        }
    }

    pub(crate) fn received(&self) -> Position {
        self.heartbeat.received()
    }

    pub(crate) fn want_receipt(&mut self, by: Instant, wakes: &mut Wakes) {
        self.heartbeat.want(by, self.sent);
        wakes.add(self.driver.take());
    }

    /// What the application is told next; without `events` those stay where they are.
    pub(crate) fn poll_recv(
        &mut self,
        waker: &Waker,
        events: bool,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) -> Poll<Option<Incoming>> {
        let received = self.heartbeat.received();
        if received > self.reported {
            self.reported = received;
            return Poll::Ready(Some(Incoming::Receipt(received)));
        }
        if std::mem::take(&mut self.upgraded) {
            return Poll::Ready(Some(Incoming::Upgraded));
        }
        let was_full = self.inbox.is_full(config);
        if events && let Some(event) = self.inbox.pop() {
            if was_full {
                self.heartbeat.forgive(now);
                wakes.add(self.driver.take());
                wakes.add(self.polling.as_mut().and_then(|p| p.post.take()));
            }
            return Poll::Ready(Some(Incoming::Event(event)));
        }
        if !self.is_usable() && self.inbox.is_empty() {
            return Poll::Ready(None);
        }
        self.recv = Some(waker.clone());
        Poll::Pending
    }

    pub(super) fn wake_recv(&mut self, wakes: &mut Wakes) {
        wakes.add(self.recv.take());
    }

    /// The task that drives the connection is to be woken by this.
    pub(crate) fn set_driver(&mut self, waker: &Waker) {
        if !self.driver.as_ref().is_some_and(|w| w.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }

    /// Whether the transport may read on. Not while the application is behind, nor while a polling body of before an
    /// upgrade is still being worked off, which would put the later before the earlier.
    pub(crate) fn may_read(&self, config: &Config) -> bool {
        self.is_open()
            && !self.inbox.is_full(config)
            && !self.polling.as_ref().is_some_and(|p| p.posting && self.transport == Transport::Websocket)
    }

    /// Ends the connection. What was queued still goes out where that makes sense for the reason.
    pub(crate) fn close(&mut self, reason: CloseReason, now: Instant, config: &Config, wakes: &mut Wakes) {
        use CloseReason as R;
        if !self.is_open() {
            return;
        }
        let mut grace = config.stall_timeout;
        match reason {
            R::TransportClosed | R::TransportError | R::PingTimeout | R::Stalled => {
                return self.finish(reason, wakes);
            }
            // A poll that is held is told so by its answer; there is nothing to keep the session for.
            R::ParseError(_) | R::DuplicateRequest | R::HandshakeTimeout
                if self.transport == Transport::Polling =>
            {
                return self.finish(reason, wakes);
            }
            R::ParseError(_) | R::DuplicateRequest | R::HandshakeTimeout => {
                self.outbox.clear();
                grace = grace.min(BRIEF_GRACE);
            }
            R::ClientDisconnect | R::Refused | R::ServerDisconnect | R::ServerClosed | R::Draining => {}
        }
        self.life = Life::Closing { reason, until: now + grace };
        self.inbox.forget_partial();
        self.wake_all(wakes);
    }

    /// Nothing more goes out either. Events that had come stay for the application to read.
    pub(crate) fn finish(&mut self, reason: CloseReason, wakes: &mut Wakes) {
        let reason = match self.life {
            Life::Closed(_) => return,
            Life::Closing { reason, .. } => reason,
            Life::Open => reason,
        };
        self.life = Life::Closed(reason);
        self.outbox.clear();
        self.inbox.forget_partial();
        self.wake_all(wakes);
    }

    /// The socket is over while the connection lingers.
    pub(crate) fn end_socket(
        &mut self,
        reason: CloseReason,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) {
        self.stage = Stage::Over { until: now + config.handshake_timeout, reason };
        self.inbox.forget_partial();
        self.wake_all(wakes);
    }

    pub(super) fn wake_all(&mut self, wakes: &mut Wakes) {
        wakes.add(self.driver.take());
        wakes.add(self.recv.take());
        if let Some(polling) = &mut self.polling {
            wakes.add(polling.poll.take());
            wakes.add(polling.post.take());
        }
        wakes.add_all(self.ready.drain(..));
        wakes.add_all(self.questions.wakers());
    }

    pub(super) fn wake_driver(&mut self, wakes: &mut Wakes) {
        wakes.add(self.driver.take());
    }
}
