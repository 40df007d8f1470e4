//! One connection as its tasks share it: the state machine behind a lock.

mod application;
mod heartbeat;
mod inbox;
mod outbox;
mod polling;
mod questions;
mod receive;
mod state;
#[cfg(test)]
mod tests;
mod wakes;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use tokio::time::Instant;

pub(crate) use outbox::Frame;
pub(crate) use polling::{Batch, Refused};
pub use questions::Answer;
use receive::Received;
pub(crate) use state::State;
pub(crate) use wakes::Wakes;

use crate::engine::sid::Sid;
use crate::server::Server;
use crate::socket::Socket;
use crate::{CloseReason, Config, EnginePacket, Transport};

/// Shared by the handler's socket and the transport.
#[derive(Debug)]
pub(crate) struct Session {
    /// The Engine.IO identifier: a credential on polling.
    pub(crate) sid: Sid,
    /// The Socket.IO identifier, which applications may show around.
    pub(crate) id: Sid,
    /// Who is counted for it.
    pub(crate) address: Option<IpAddr>,
    pub(crate) server: Arc<Server>,
    state: Mutex<State>,
}

/// What a transport needs to know for its next step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) deadline: Option<Instant>,
    pub(crate) may_read: bool,
    pub(crate) closing: bool,
    pub(crate) closed: bool,
    /// The session still has this transport.
    pub(crate) driving: bool,
}

impl Session {
    pub(crate) fn new(
        sid: Sid,
        id: Sid,
        address: Option<IpAddr>,
        server: Arc<Server>,
        state: State,
    ) -> Arc<Self> {
        Arc::new(Self { sid, id, address, server, state: Mutex::new(state) })
    }

    /// Runs a step of the state machine, then wakes whom it concerns.
    pub(crate) fn with<R>(&self, step: impl FnOnce(&mut State, &Config, &mut Wakes) -> R) -> R {
        let mut wakes = Wakes::default();
        let result = {
            // A panic in a step is a bug, but it must not take the other tasks of the connection along.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            step(&mut state, &self.server.config, &mut wakes)
        };
        wakes.fire();
        result
    }

    /// Does what is due and tells the task that drives this transport how things stand. It is woken when that changes,
    /// but only while the session has that transport: when an upgrade takes over, the two tasks run side by side for a
    /// moment, and the one that leaves must not be woken in the other's place.
    pub(crate) fn turn(&self, driving: Transport, waker: &Waker, now: Instant) -> Turn {
        self.with(|state, config, wakes| {
            state.tick(now, config, wakes);
            if state.transport() == driving {
                state.set_driver(waker);
            }
            Turn {
                deadline: state.deadline(config),
                may_read: state.may_read(config),
                closing: state.is_closing(),
                closed: state.is_closed(),
                driving: state.transport() == driving,
            }
        })
    }

    /// Takes a packet of the client; starts the application's handler if it was the CONNECT.
    pub(crate) fn receive(self: &Arc<Self>, packet: EnginePacket) {
        let now = Instant::now();
        match self.with(|state, config, wakes| state.receive(packet, now, config, wakes)) {
            Received::Taken => {}
            Received::Connect(connect) => (self.server.handler)(Socket::new(self.clone()), *connect),
            Received::Misfit(misfit, address) => self.server.warnings.warn(misfit, address, now),
        }
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        let now = Instant::now();
        self.with(|state, config, wakes| state.close(reason, now, config, wakes));
    }

    /// The last act of the transport: nothing is left but what the handler still reads.
    pub(crate) fn retire(&self, reason: CloseReason) {
        let reason = self.with(|state, _, wakes| {
            state.finish(reason, wakes);
            state.close_reason()
        });
        tracing::debug!(sid = ?self.sid, reason = reason.map(CloseReason::as_str), "connection closed");
        self.server.registry.remove(self);
    }
}
