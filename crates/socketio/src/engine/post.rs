//! A polling POST: packets of the client.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::Instant;

use super::Payload;
use super::response::{self, ErrorCode};
use crate::session::Session;
use crate::{CloseReason, ParseError};

/// A body that was worked off only in part would be a hole, so anything but its end ends the session.
struct Posting {
    session: Arc<Session>,
    done: bool,
}

impl Drop for Posting {
    fn drop(&mut self) {
        if !self.done {
            self.session.close(CloseReason::TransportError);
        }
        self.session.with(|state, _, wakes| state.end_post(wakes));
    }
}

pub(super) async fn serve(session: Arc<Session>, request: Request) -> Result<Response, ErrorCode> {
    session.with(|state, config, wakes| state.begin_post(Instant::now(), config, wakes))?;
    let mut posting = Posting { session: session.clone(), done: false };
    let body = read(&session, request).await?;
    for packet in Payload::new(body) {
        poll_fn(|cx| session.with(|state, config, _| state.poll_room(cx.waker(), config))).await?;
        match packet {
            Ok(packet) => session.receive(packet),
            Err(error) => {
                session.close(CloseReason::ParseError(error));
                return Err(ErrorCode::BadRequest);
            }
        }
    }
    posting.done = true;
    match session.with(|state, _, _| state.close_reason()) {
        Some(CloseReason::ParseError(_)) => Err(ErrorCode::BadRequest),
        _ => Ok(response::payload(Bytes::from_static(b"ok"))),
    }
}

/// Reads the body within its limit, for as long as the session is open: a body that never ends runs into the ping
/// timeout.
async fn read(session: &Session, request: Request) -> Result<Bytes, ErrorCode> {
    let body = Limited::new(request.into_body(), session.server.config.max_packet_bytes).collect();
    let mut body = pin!(body);
    let read = poll_fn(|cx| {
        if let Poll::Ready(body) = body.as_mut().poll(cx) {
            return Poll::Ready(Some(body));
        }
        session.with(|state, _, _| state.poll_gone(cx.waker())).map(|()| None)
    })
    .await
    .ok_or(ErrorCode::BadRequest)?;
    match read {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            session.close(CloseReason::ParseError(ParseError::TooLarge));
            Err(ErrorCode::BodyTooLarge)
        }
        Err(_) => Err(ErrorCode::BadRequest),
    }
}
