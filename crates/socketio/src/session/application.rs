//! What the application does with its socket, beyond sending and receiving.

use std::task::{Poll, Waker};

use tokio::time::Instant;

use super::outbox::Frame;
use super::questions::Answer;
use super::state::{Stage, State};
use super::wakes::Wakes;
use crate::packet::AckId;
use crate::{AckError, CloseReason, Closed, Config};

impl State {
    /// Answers the CONNECT.
    pub(crate) fn accept(&mut self, text: String, now: Instant, wakes: &mut Wakes) -> Result<(), Closed> {
        if !self.is_open() {
            return Err(Closed);
        }
        match self.stage {
            Stage::Waiting => {
                self.stage = Stage::Connected;
                self.send_control(text, now, wakes);
                Ok(())
            }
            Stage::Connected => Ok(()),
            Stage::Opening { .. } | Stage::Over { .. } => Err(Closed),
        }
    }

    /// Refuses the CONNECT. After an answer it is too late for that, and the socket is disconnected instead.
    pub(crate) fn refuse(&mut self, text: String, now: Instant, config: &Config, wakes: &mut Wakes) {
        if !self.is_open() {
            return;
        }
        match self.stage {
            Stage::Waiting => {
                self.send_control(text, now, wakes);
                self.end_socket(CloseReason::Refused, now, config, wakes);
            }
            _ => self.disconnect(now, config, wakes),
        }
    }

    /// DISCONNECT, then the end of the transport.
    pub(crate) fn disconnect(&mut self, now: Instant, config: &Config, wakes: &mut Wakes) {
        if self.is_open() && !matches!(self.stage, Stage::Over { .. }) {
            self.outbox.push(Frame::Text("41".into()));
        }
        self.close(CloseReason::ServerDisconnect, now, config, wakes);
    }

    /// The handler let go of the socket. A refused or disconnected one is left to the client to end.
    pub(crate) fn abandon(&mut self, now: Instant, config: &Config, wakes: &mut Wakes) {
        if !matches!(self.stage, Stage::Over { .. }) {
            self.close(CloseReason::ServerClosed, now, config, wakes);
        }
    }

    pub(crate) fn question(&mut self, config: &Config) -> Result<AckId, AckError> {
        if !self.is_open() || !matches!(self.stage, Stage::Connected) {
            return Err(AckError::Closed);
        }
        self.questions.ask(config.pending_acks).ok_or(AckError::Full)
    }

    pub(crate) fn poll_answer(&mut self, id: AckId, waker: &Waker) -> Poll<Result<Answer, AckError>> {
        match self.questions.poll(id, waker) {
            Poll::Ready(answer) => Poll::Ready(answer.ok_or(AckError::Closed)),
            Poll::Pending if self.close_reason().is_some() => Poll::Ready(Err(AckError::Closed)),
            Poll::Pending => Poll::Pending,
        }
    }

    pub(crate) fn forget_question(&mut self, id: AckId) {
        self.questions.forget(id);
    }
}
