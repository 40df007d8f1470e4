//! One socket: it attaches, is served by its pump, and says what arrived and what was read. One future is the socket's
//! whole life, and the only one that writes to it.

use crate::app::App;
use crate::input::{Attach, GivenCursor};
use crate::realtime::acker::{Acker, Done};
use crate::realtime::attach::{AttachError, Attached, Given, Ready, attach};
use crate::realtime::commands;
use crate::realtime::gate::RateGate;
use crate::realtime::lease::{Due, Lease};
use crate::realtime::window::Window;
use crate::realtime::{Frame, Served};
use crate::revocation::{Issued, check_revoked};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tidings_auth::Principal;
use tidings_domain::{Cursor, DeviceId, Mode, Relation, Revision, Start, Timestamp, Unserved, UserId};
use tidings_socketio::{
    Close, CloseReason, Connect, Incoming, Packet, Position, SendError, Socket, Transport,
};
use tidings_store::{Resync, StoreError};
use tokio::time::Instant;

/// A reader that makes no progress for so long is disconnected, and resumes when it returns.
pub const STALL: Duration = Duration::from_secs(15);

/// How long what was written waits for a proof that it arrived to be asked for, at least; the contract grants 2 s.
const PROOF: Duration = Duration::from_millis(500);

/// Proofs are asked for at common moments, so that what they prove is stored together: at 1,000 sends a second to 2,000
/// devices this took a fifth off the server's CPU and a quarter off what it writes.
const PROOF_GRID: Duration = Duration::from_millis(100);

/// From now until the next common moment that is at least [`PROOF`] away.
fn until_proof(since_start: Duration) -> Duration {
    let due = (since_start + PROOF).as_millis();
    let grid = PROOF_GRID.as_millis();
    PROOF + Duration::from_millis(u64::try_from(due.next_multiple_of(grid) - due).unwrap_or(0))
}

/// Past so many queued bytes, the window and some callbacks, a client is neither listened to nor served until it has read.
const SEND_BUFFER: usize = 320 * 1024;

/// What the socket layer may queue. Its half is [`SEND_BUFFER`], so that [`Socket::ready`] waits for exactly that, and
/// what one step adds (a window's frames, or one large one, or some callbacks) always fits.
pub const SEND_LIMIT: usize = 2 * SEND_BUFFER;

/// One socket's state.
pub struct Session {
    pub(super) app: Arc<App>,
    pub(super) socket: Socket,
    pub(super) pid: String,
    /// When it connected: it has to register in time.
    pub(super) since: Instant,
    pub(super) gate: RateGate,
    /// Who the client proved to be.
    pub(super) principal: Option<Principal>,
    /// What the `pid` of its CONNECT named, until it has attached.
    pub(super) returning: Option<Box<Returning>>,
    pub(super) attached: Option<Box<Reading>>,
}

/// A registration that a connection may take up again.
pub struct Returning {
    /// Whose it was.
    pub user: UserId,
    /// Which device.
    pub device: DeviceId,
    /// The last offset that the client kept.
    pub offset: Option<Cursor>,
}

/// What a socket has while it is attached.
pub struct Reading {
    pub(super) attached: Attached,
    /// Whether the client confirms by `ack_notifications`.
    pub(super) acks: bool,
    pub(super) acker: Acker,
    lease: Option<Lease>,
    window: Window,
    /// The transport proved that everything up to here arrived, of what was written since the start.
    proven: Revision,
}

/// Why a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is gone.
    Gone,
    /// It is closed by us; official clients come back by themselves.
    Close,
    /// It is told to go; official clients stay away until the application connects them.
    Disconnect,
}

enum Happened {
    Incoming(Option<Incoming>),
    Acknowledged(Done),
    Served(Served),
    /// A moment came that something was to be done at.
    Due,
    /// The client has read what was queued.
    Drained,
    /// Somebody ended the user's sessions.
    Ended,
}

/// Serves one socket from its CONNECT to its end.
pub async fn serve_socket(app: Arc<App>, socket: Socket, connect: Connect) {
    let mut session = match Box::pin(Session::open(app, socket, connect)).await {
        Some(session) => session,
        None => return,
    };
    let end = session.run().await;
    if let Some(reading) = session.attached.take() {
        let Reading { attached, acker, .. } = *reading;
        let user = attached.pump.user().clone();
        // Offline first; then what it confirmed is stored, whoever is gone.
        drop(attached);
        if session.socket.close_reason() == Some(CloseReason::ClientDisconnect) {
            // Somebody else may use this client next. A connection that was cut is left to return.
            Box::pin(session.app.goodbyes.forget(&*session.app.store, &user, &session.pid)).await;
        }
        Box::pin(acker.finish()).await;
    }
    match end {
        End::Gone => {}
        End::Close => session.socket.close(Close::Transport),
        End::Disconnect => session.socket.close(Close::Disconnect),
    }
}

impl Session {
    /// Attaches to a user's inbox as `principal`, in place of what it was attached to. If that is refused, nothing has changed:
    /// the socket goes on as it was.
    pub(super) async fn attach(
        &mut self,
        user: UserId,
        attach_as: &Attach,
        principal: Option<Principal>,
    ) -> Result<Ready, AttachError> {
        let returning = self.returning.as_ref().filter(|returning| returning.user == user);
        // A pid is a UUID, which keeps a device's limits.
        let device = match attach_as.device_id.clone().or(returning.map(|returning| returning.device.clone()))
        {
            Some(device) => device,
            None => DeviceId::new(&self.pid).map_err(|error| StoreError::Unavailable(error.to_string()))?,
        };
        let offset = returning.and_then(|returning| returning.offset.clone());
        let given = Given {
            user: user.clone(),
            device: device.clone(),
            pid: Some(self.pid.clone()),
            cursor: self.furthest(&user, attach_as.cursor.clone(), offset),
            transport: self.transport(),
        };
        let attached = attach(&self.app, given).await?;
        let seat = attached.pump.seat();
        seat.feed.set_issued(seat.key, principal.as_ref().and_then(Issued::of));
        // Asked after it has joined the hub: whoever ends the sessions now finds it there.
        if let Some(principal) = &principal
            && check_revoked(&self.app, principal).await?
        {
            return Err(AttachError::Revoked);
        }
        self.detach().await;
        self.returning = None;
        self.principal = principal;
        let lease = self.lease();
        let ready = attached.ready();
        let proven = attached.start.cursor;
        let acker = Acker::new(self.app.store.clone(), user, device);
        let reading =
            Reading { attached, acks: attach_as.acks, acker, lease, window: Window::default(), proven };
        self.attached = Some(Box::new(reading));
        Ok(ready)
    }

    /// Of the cursor in an `auth`, which an official client repeats as it was when it was made, and the offset that it
    /// keeps by itself, the further one. One of another inbox is none; one of another life comes last.
    fn furthest(
        &self,
        user: &UserId,
        given: Option<GivenCursor>,
        offset: Option<Cursor>,
    ) -> Option<GivenCursor> {
        let relation = |cursor: &GivenCursor| match &cursor.epoch {
            Some(epoch) => self.app.store.relation(user, epoch),
            None => Relation::Present,
        };
        let rank = |cursor: &GivenCursor| (relation(cursor) == Relation::Present, cursor.rev);
        let mine = |cursor: &GivenCursor| relation(cursor) != Relation::AnotherInbox;
        match (given.filter(mine), offset.map(GivenCursor::from).filter(mine)) {
            (Some(given), Some(offset)) => Some(if rank(&given) > rank(&offset) { given } else { offset }),
            (given, offset) => given.or(offset),
        }
    }

    /// How long the token holds, if there is one.
    fn lease(&self) -> Option<Lease> {
        match &self.principal {
            Some(Principal::User(verified)) => {
                Some(Lease::new(verified, self.app.clock.now(), Instant::now()))
            }
            _ => None,
        }
    }

    /// Another token of the same user takes the place of the one before.
    pub(super) fn renew(&mut self, principal: Principal) {
        self.principal = Some(principal);
        let lease = self.lease();
        let issued = self.principal.as_ref().and_then(Issued::of);
        if let Some(reading) = &mut self.attached {
            reading.lease = lease;
            let seat = reading.attached.pump.seat();
            seat.feed.set_issued(seat.key, issued);
        }
    }

    async fn detach(&mut self) {
        if let Some(reading) = self.attached.take() {
            let Reading { attached, acker, .. } = *reading;
            drop(attached);
            acker.finish().await;
        }
    }

    /// Tells the client where it starts, before the first notification; and that it must read over HTTP when its cursor
    /// could not be resumed.
    pub(super) fn announce(&self, ready: &Ready) -> Result<(), SendError> {
        self.emit("inbox_ready", &(ready, ready.offset()))?;
        match self.attached.as_ref().and_then(|reading| reading.attached.resync) {
            Some(reason) => self.emit("sync_required", &(Reason { reason: reason.as_str() },)),
            None => Ok(()),
        }
    }

    fn emit(&self, name: &str, args: &impl Serialize) -> Result<(), SendError> {
        match Packet::event(name, args) {
            Ok(packet) => self.socket.send(&packet).map(|_| ()),
            Err(error) => {
                tracing::error!(%error, event = name, "an event could not be encoded");
                Ok(())
            }
        }
    }

    async fn run(&mut self) -> End {
        loop {
            let end = match self.wait().await {
                Happened::Incoming(None) => return End::Gone,
                Happened::Incoming(Some(Incoming::Event(event))) => {
                    let ended = Box::pin(self.on_event(event)).await.err();
                    self.forgive();
                    ended
                }
                Happened::Incoming(Some(Incoming::Receipt(position))) => {
                    self.arrived(position);
                    None
                }
                Happened::Incoming(Some(Incoming::Upgraded)) => {
                    self.upgraded();
                    None
                }
                Happened::Acknowledged(done) => self.acknowledged(done).err(),
                Happened::Served(Served::Frames(frames)) => self.write(&frames).err(),
                Happened::Served(Served::Resync(reason)) => Box::pin(self.start_over(reason)).await.err(),
                Happened::Served(Served::Broken) => Some(End::Close),
                Happened::Due => self.on_time().err(),
                Happened::Drained => {
                    self.forgive();
                    None
                }
                Happened::Ended => Some(End::Disconnect),
            };
            match end {
                // Nothing can be sent any more. What the client sent before it left is still carried out.
                None | Some(End::Gone) => {}
                Some(end) => return end,
            }
        }
    }

    async fn wait(&mut self) -> Happened {
        // Callbacks for a client that does not read would pile up: it is not listened to until it reads.
        let (crowded, gone) = (self.is_crowded(), self.is_gone());
        let shut = self.gate.shut_until(Instant::now());
        let deadline = self.deadline();
        let Self { socket, attached, .. } = self;
        let may_listen = shut.is_none() && attached.as_ref().is_none_or(|reading| reading.acker.has_room());
        let incoming = async {
            match (crowded, may_listen) {
                (true, _) => {
                    socket.ready().await;
                    Happened::Drained
                }
                (false, true) => Happened::Incoming(socket.recv().await),
                (false, false) => Happened::Incoming(socket.recv_without_events().await),
            }
        };
        let due = [deadline, shut].into_iter().flatten().min();
        let Some(reading) = attached else {
            return tokio::select! {
                happened = incoming => happened,
                () = at(due) => Happened::Due,
            };
        };
        let Reading { attached, window, acker, .. } = &mut **reading;
        let room = window.room().filter(|_| !crowded && !gone);
        let (feed, key) = (attached.pump.seat().feed.clone(), attached.pump.seat().key);
        tokio::select! {
            happened = incoming => happened,
            done = acker.done(), if !crowded => Happened::Acknowledged(done),
            served = attached.pump.next(room.map_or(0, |r| r.0), room.map_or(0, |r| r.1)), if room.is_some() =>
                Happened::Served(served),
            () = at(due) => Happened::Due,
            () = feed.ended(key) => Happened::Ended,
        }
    }

    /// When something is to be done although nothing happens.
    fn deadline(&self) -> Option<Instant> {
        let lease = self.attached.as_ref().and_then(|reading| reading.lease.as_ref()).map(Lease::next);
        [self.overdue_at(), lease].into_iter().flatten().min()
    }

    /// When it has not registered in time, or has made no progress for too long.
    fn overdue_at(&self) -> Option<Instant> {
        match &self.attached {
            None => Some(self.since + self.app.limits.register),
            // Whether the bytes go out at all is watched by the transport.
            Some(_) if self.is_crowded() || self.is_gone() => None,
            Some(reading) => reading.window.waiting_since().map(|since| since + STALL),
        }
    }

    fn is_crowded(&self) -> bool {
        self.socket.queued_bytes() > SEND_BUFFER && !self.is_gone()
    }

    fn is_gone(&self) -> bool {
        self.socket.close_reason().is_some()
    }

    /// Does what is due: not registered in time, no progress for too long, the token's end.
    fn on_time(&mut self) -> Result<(), End> {
        match self.overdue_at() {
            Some(at) if at <= Instant::now() => Err(End::Close),
            _ => self.on_lease(),
        }
    }

    /// The client was not listened to for a while, so what proves its progress may lie unread.
    fn forgive(&mut self) {
        if let Some(reading) = &mut self.attached {
            reading.window.forgive(Instant::now());
        }
    }

    /// Tells the client that its token nears its end; ends the socket when it has.
    fn on_lease(&mut self) -> Result<(), End> {
        let Some(lease) = self.attached.as_mut().and_then(|reading| reading.lease.as_mut()) else {
            return Ok(());
        };
        match lease.due(Instant::now()) {
            None => Ok(()),
            Some(Due::End) => Err(End::Close),
            Some(Due::Warn) => {
                let expires_at = lease.expires_at;
                self.emit("session_expiring", &(Expiring { expires_at },)).map_err(commands::end_of)
            }
        }
    }

    fn write(&mut self, frames: &[Arc<Frame>]) -> Result<(), End> {
        let Some(reading) = &mut self.attached else { return Ok(()) };
        let now = Instant::now();
        for frame in frames {
            let position = self.socket.send(&frame.packet).map_err(commands::end_of)?;
            reading.window.wrote(position, frame.reached, frame.packet.len(), now);
        }
        let soon = reading.window.pressed();
        self.socket.want_receipt(if soon { Duration::ZERO } else { until_proof(now - self.app.started) });
        Ok(())
    }

    fn upgraded(&mut self) {
        if let Some(reading) = &self.attached {
            let seat = reading.attached.pump.seat();
            seat.feed.set_transport(seat.key, self.transport());
        }
    }

    fn transport(&self) -> &'static str {
        match self.socket.transport() {
            Transport::Polling => "polling",
            Transport::Websocket => "websocket",
        }
    }

    fn arrived(&mut self, position: Position) {
        let Some(reading) = &mut self.attached else { return };
        if let Some(rev) = reading.window.arrived(position, Instant::now())
            && rev > reading.proven
        {
            if !reading.acks {
                reading.acker.confirm(reading.proven, rev, None);
            }
            reading.proven = rev;
        }
        if reading.window.pressed() {
            self.socket.want_receipt(Duration::ZERO);
        }
    }

    pub(super) fn acknowledged(&mut self, done: Done) -> Result<(), End> {
        if let Err(error) = &done.result {
            tracing::warn!(%error, "an acknowledgement could not be stored");
        }
        for callback in done.callbacks {
            commands::answer_ack(&self.socket, callback, &done.result)?;
        }
        Ok(())
    }

    /// The cursor cannot be resumed in the middle of it all (a device that lagged too far): from the head on.
    pub(super) async fn start_over(&mut self, reason: Resync) -> Result<(), End> {
        let Some(reading) = &mut self.attached else { return Ok(()) };
        let user = reading.attached.pump.user().clone();
        let located = self.app.store.locate(&user, None).await.map_err(|error| {
            tracing::warn!(user.id = %user, %error, "a socket is closed: its inbox cannot be read");
            End::Close
        })?;
        let attached = &mut reading.attached;
        reading.proven = located.head;
        let start = Start { cursor: located.head, mode: Mode::Snapshot };
        attached.restart(start, &Unserved::default(), Some(reason), located);
        let ready = attached.ready();
        self.announce(&ready).map_err(commands::end_of)
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[derive(Serialize)]
struct Expiring {
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct Reason {
    reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_asked_for_at_common_moments() {
        for since_start in [0, 1, 99, 100, 101, 12_345] {
            let since_start = Duration::from_millis(since_start);
            let wait = until_proof(since_start);
            assert!(wait >= PROOF && wait < PROOF + PROOF_GRID);
            assert_eq!((since_start + wait).as_millis() % PROOF_GRID.as_millis(), 0);
        }
    }
}
