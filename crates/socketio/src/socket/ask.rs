//! Questions to the client.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Socket;
use crate::packet::{self, AckId, Packet};
use crate::session::{Answer, Session};
use crate::{AckError, SendError};

/// Gives the question up when who asked does not wait any more.
struct Asked<'a> {
    session: &'a Session,
    id: AckId,
}

impl Asked<'_> {
    async fn answer(self, timeout: Duration) -> Result<Answer, AckError> {
        let answer = poll_fn(|cx| self.session.with(|state, _, _| state.poll_answer(self.id, cx.waker())));
        tokio::time::timeout(timeout, answer).await.map_err(|_| AckError::Timeout)?
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.session.with(|state, _, _| state.forget_question(self.id));
    }
}

impl Socket {
    /// Emits an event and waits for the client's callback. [`Socket::recv`] need not be polled meanwhile, unless so
    /// many events come before the answer that the transport stops reading. Binary parts of the answer are dropped;
    /// [`Socket::ask`] has them.
    pub async fn emit_with_ack(
        &self,
        name: &str,
        args: &impl Serialize,
        timeout: Duration,
    ) -> Result<Vec<Box<RawValue>>, AckError> {
        Ok(self.ask(name, args, Vec::new(), timeout).await?.args)
    }

    /// Like [`Socket::emit_with_ack`], with binary parts both ways.
    pub async fn ask(
        &self,
        name: &str,
        args: &impl Serialize,
        attachments: Vec<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, AckError> {
        let session = &*self.session;
        let id = session.with(|state, config, _| state.question(config))?;
        let asked = Asked { session, id };
        let text = packet::event_text(name, args, attachments.len(), Some(id))?;
        self.send(&Packet::with_attachments(text, attachments)).map_err(|error| match error {
            SendError::Closed => AckError::Closed,
            SendError::Full => AckError::Full,
            SendError::Encode(error) => AckError::Encode(error),
        })?;
        // Boxed: a handler's future would otherwise keep room for the timer in every idle socket.
        Box::pin(asked.answer(timeout)).await
    }
}
