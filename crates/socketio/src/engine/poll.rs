//! A polling GET: waits for output and carries it.

use std::future::poll_fn;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use tokio::time::Instant;

use super::payload::SEPARATOR;
use super::response::{self, ErrorCode};
use crate::session::{Batch, Frame, Session};

/// Ends the session if the client goes away while it waits: what was on its way then would be lost unnoticed.
struct Held {
    session: Arc<Session>,
    answered: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.session
            .with(|state, _, wakes| if self.answered { state.end_poll() } else { state.cancel_poll(wakes) });
    }
}

pub(super) async fn serve(session: Arc<Session>) -> Result<Response, ErrorCode> {
    session.with(|state, config, wakes| state.begin_poll(Instant::now(), config, wakes))?;
    let mut held = Held { session, answered: false };
    let batch = poll_fn(|cx| {
        let now = Instant::now();
        held.session.with(|state, config, wakes| state.poll_output(cx.waker(), now, config, wakes))
    })
    .await;
    held.answered = true;
    Ok(response::payload(encode(batch?)))
}

/// One packet alone, the usual case, is passed on without copying.
fn encode(mut batch: Batch) -> Bytes {
    if let [Frame::Text(_)] = batch.frames.as_slice()
        && let Some(Frame::Text(text)) = batch.frames.pop()
    {
        return text.into();
    }
    let mut body = String::new();
    for (n, frame) in batch.frames.into_iter().enumerate() {
        if n > 0 {
            body.push(SEPARATOR);
        }
        match frame {
            Frame::Text(text) => body.push_str(&text),
            Frame::Ping => body.push('2'),
            Frame::Binary(bytes) => {
                body.push('b');
                data_encoding::BASE64.encode_append(&bytes, &mut body);
            }
        }
    }
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_in_one_body() {
        let text = Frame::Text("4hello".into());
        let binary = Frame::Binary(Bytes::from_static(&[1, 2, 3, 4]));
        assert_eq!(encode(Batch { frames: vec![text.clone()] }), "4hello");
        assert_eq!(encode(Batch { frames: vec![text, Frame::Ping, binary] }), "4hello\x1e2\x1ebAQIDBA==");
    }
}
