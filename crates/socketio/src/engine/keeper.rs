//! Watches over a polling session between its requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::session::Session;
use crate::{CloseReason, Transport};

/// Does what is due until the session ends or becomes a websocket, whose pump then does it.
pub(super) struct Keeper {
    session: Arc<Session>,
    sleep: Pin<Box<Sleep>>,
}

impl Keeper {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session, sleep: Box::pin(sleep_until(Instant::now())) }
    }
}

impl Future for Keeper {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let turn = self.session.turn(Transport::Polling, cx.waker(), Instant::now());
            if turn.closed {
                self.session.retire(CloseReason::TransportClosed);
                return Poll::Ready(());
            }
            let (true, Some(deadline)) = (turn.driving, turn.deadline) else { return Poll::Ready(()) };
            if self.sleep.deadline() != deadline {
                self.sleep.as_mut().reset(deadline);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
