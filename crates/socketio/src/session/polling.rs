//! The polling side of a connection, and its end by an upgrade.

use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::outbox::Frame;
use super::state::{Life, Stage, State};
use super::wakes::Wakes;
use crate::packet::Position;
use crate::{CloseReason, Config, Transport};

/// What only polling needs.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    /// A GET waits for output.
    pub(super) held: bool,
    /// A POST is being worked off.
    pub(super) posting: bool,
    upgrade: Upgrade,
    /// What the last response carried; the next GET proves it.
    covers: Position,
    /// Output waits since then.
    pub(super) waiting_since: Option<Instant>,
    pub(super) poll: Option<Waker>,
    pub(super) post: Option<Waker>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Upgrade {
    #[default]
    None,
    /// A websocket was opened for it.
    Claimed,
    /// The probe came: polls are not held any more.
    Probed,
}

/// Why a request for a session is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Unknown,
    Bad,
}

/// What a poll is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) frames: Vec<Frame>,
}

impl Batch {
    fn one(packet: &'static str) -> Self {
        Self { frames: vec![Frame::Text(packet.into())] }
    }
}

const CLOSE: &str = "1";
const NOOP: &str = "6";

/// The most Engine.IO packets of one response: python-engineio refuses a body with more.
const MAX_FRAMES: usize = 16;

/// A client that closes its session sends one request for it while its next poll may be on another connection; for so
/// long that one still finds the session.
const CROSSING: Duration = Duration::from_secs(1);

/// How a poll learns of the end.
fn end(reason: CloseReason) -> Result<Batch, Refused> {
    use CloseReason as R;
    match reason {
        // Who closed the session itself is not told so.
        R::TransportClosed => Ok(Batch::one(NOOP)),
        // A close packet would do for JavaScript clients, but python-engineio takes it for the end of everything. A
        // session that is not known any more brings both back.
        R::ServerClosed
        | R::Draining
        | R::HandshakeTimeout
        | R::PingTimeout
        | R::Stalled
        | R::TransportError => Err(Refused::Unknown),
        R::ClientDisconnect | R::Refused | R::ServerDisconnect | R::ParseError(_) | R::DuplicateRequest => {
            Ok(Batch::one(CLOSE))
        }
    }
}

impl State {
    fn polling(&mut self) -> Result<&mut Polling, Refused> {
        if self.is_closed() {
            return Err(Refused::Unknown);
        }
        match (self.transport, &mut self.polling) {
            (Transport::Polling, Some(polling)) => Ok(polling),
            _ => Err(Refused::Bad),
        }
    }

    pub(super) fn polling_stalls_at(&self, config: &Config) -> Option<Instant> {
        if self.transport != Transport::Polling {
            return None;
        }
        self.polling.as_ref()?.waiting_since.map(|since| since + config.stall_timeout)
    }

    /// A GET came.
    pub(crate) fn begin_poll(
        &mut self,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) -> Result<(), Refused> {
        let polling = self.polling()?;
        if std::mem::replace(&mut polling.held, true) {
            self.close(CloseReason::DuplicateRequest, now, config, wakes);
            return Err(Refused::Bad);
        }
        let covers = polling.covers;
        if self.heartbeat.proven(covers) {
            self.wake_recv(wakes);
        }
        Ok(())
    }

    /// What a held GET is answered with, once there is something.
    pub(crate) fn poll_output(
        &mut self,
        waker: &Waker,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) -> Poll<Result<Batch, Refused>> {
        match self.life {
            // What was queued goes first and the close alone: official clients close at once when they see it, and
            // only then look at the events that came in the same body.
            Life::Closing { .. } if !self.outbox.is_empty() => {
                return Poll::Ready(Ok(self.take_output(now, config, wakes)));
            }
            Life::Closing { reason, .. } | Life::Closed(reason) => {
                self.finish(reason, wakes);
                return Poll::Ready(end(reason));
            }
            Life::Open => {}
        }
        let empty = self.outbox.is_empty();
        let Ok(polling) = self.polling() else { return Poll::Ready(Ok(Batch::one(NOOP))) };
        if !empty {
            return Poll::Ready(Ok(self.take_output(now, config, wakes)));
        }
        if polling.upgrade == Upgrade::Probed {
            return Poll::Ready(Ok(Batch::one(NOOP)));
        }
        polling.poll = Some(waker.clone());
        Poll::Pending
    }

    fn take_output(&mut self, now: Instant, config: &Config, wakes: &mut Wakes) -> Batch {
        let frames: Vec<Frame> = std::iter::from_fn(|| self.outbox.pop()).take(MAX_FRAMES).collect();
        let bytes = frames.iter().map(Frame::len).sum();
        let ping = frames.contains(&Frame::Ping);
        if let Some(polling) = &mut self.polling {
            polling.covers = self.sent - self.outbox.packets();
            polling.waiting_since = (!self.outbox.is_empty()).then_some(now);
        }
        self.flushed(bytes, ping, now, config, wakes);
        Batch { frames }
    }

    /// The GET was answered.
    pub(crate) fn end_poll(&mut self) {
        if let Some(polling) = &mut self.polling {
            polling.held = false;
            polling.poll = None;
        }
    }

    /// The client gave a held GET up: what it would have carried may be lost, so the session ends.
    pub(crate) fn cancel_poll(&mut self, wakes: &mut Wakes) {
        if self.polling().is_ok() {
            self.finish(CloseReason::TransportClosed, wakes);
        }
        self.end_poll();
    }

    /// The client closes its transport.
    pub(super) fn close_by_client(&mut self, now: Instant, wakes: &mut Wakes) {
        let reason = CloseReason::TransportClosed;
        if self.polling().is_ok_and(|polling| !polling.held) {
            self.outbox.clear();
            self.life = Life::Closing { reason, until: now + CROSSING };
            self.wake_all(wakes);
        } else {
            self.finish(reason, wakes);
        }
    }

    /// A POST came.
    pub(crate) fn begin_post(
        &mut self,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) -> Result<(), Refused> {
        if self.is_closing() {
            return Err(Refused::Bad);
        }
        let polling = self.polling()?;
        if std::mem::replace(&mut polling.posting, true) {
            self.close(CloseReason::DuplicateRequest, now, config, wakes);
            return Err(Refused::Bad);
        }
        Ok(())
    }

    /// Whether the POST's next packet may be taken, or never will.
    pub(crate) fn poll_room(&mut self, waker: &Waker, config: &Config) -> Poll<Result<(), Refused>> {
        if !self.is_open() {
            return Poll::Ready(Err(Refused::Bad));
        }
        if !self.inbox.is_full(config) {
            return Poll::Ready(Ok(()));
        }
        if let Some(polling) = &mut self.polling {
            polling.post = Some(waker.clone());
        }
        Poll::Pending
    }

    /// Resolves when the session is not open any more; for a POST that waits for its body.
    pub(crate) fn poll_gone(&mut self, waker: &Waker) -> Poll<()> {
        if !self.is_open() {
            return Poll::Ready(());
        }
        if let Some(polling) = &mut self.polling {
            polling.post = Some(waker.clone());
        }
        Poll::Pending
    }

    /// A POST is being worked off.
    pub(crate) fn is_posting(&self) -> bool {
        self.is_open() && self.polling.as_ref().is_some_and(|polling| polling.posting)
    }

    /// The POST was worked off.
    pub(crate) fn end_post(&mut self, wakes: &mut Wakes) {
        if let Some(polling) = &mut self.polling {
            polling.posting = false;
            polling.post = None;
        }
        self.drop_polling();
        self.wake_driver(wakes);
    }

    /// A websocket wants to take over. Only one may try at a time.
    pub(crate) fn claim_upgrade(&mut self) -> Result<(), Refused> {
        if self.is_closing() {
            return Err(Refused::Bad);
        }
        let polling = self.polling()?;
        if polling.upgrade != Upgrade::None {
            return Err(Refused::Bad);
        }
        polling.upgrade = Upgrade::Claimed;
        Ok(())
    }

    /// The probe came: a held poll is released, so that the client can stop polling.
    pub(crate) fn probe(&mut self, wakes: &mut Wakes) {
        if let Ok(polling) = self.polling() {
            polling.upgrade = Upgrade::Probed;
            wakes.add(polling.poll.take());
        }
    }

    /// The websocket failed before it took over: polling goes on.
    pub(crate) fn abandon_upgrade(&mut self) {
        if let Ok(polling) = self.polling() {
            polling.upgrade = Upgrade::None;
        }
    }

    /// The websocket takes over what is queued and all that follows.
    pub(crate) fn complete_upgrade(&mut self, wakes: &mut Wakes) -> Result<(), Refused> {
        if !self.is_open() {
            return Err(Refused::Unknown);
        }
        let polling = self.polling()?;
        wakes.add(polling.poll.take());
        polling.waiting_since = None;
        self.transport = Transport::Websocket;
        // Before the CONNECT there is nobody to tell.
        self.upgraded = !matches!(self.stage, Stage::Opening { .. });
        self.wake_recv(wakes);
        self.drop_polling();
        self.wake_driver(wakes);
        Ok(())
    }

    fn drop_polling(&mut self) {
        if self.transport == Transport::Websocket && self.polling.as_ref().is_some_and(|p| !p.posting) {
            self.polling = None;
        }
    }
}
