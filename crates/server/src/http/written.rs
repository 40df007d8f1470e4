use crate::http::activity::{Activity, Phase};
use crate::http::answers::Held;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What the connection is given at once of a large answer.
const PIECE: usize = 16 * 1024;

/// The body of an answer until the connection has taken it: the next request may then begin, and what the answer held of
/// the budget is free.
pub struct Written {
    inner: Body,
    /// What is left of a large part. The connection takes a piece when it has written the one before; given the whole at
    /// once it would take the whole, and this would be dropped while all of it is still in memory.
    rest: Bytes,
    activity: Arc<Activity>,
    held: Option<Held>,
}

impl Written {
    /// Watches over a body.
    pub fn new(inner: Body, activity: Arc<Activity>, held: Option<Held>) -> Self {
        Self { inner, rest: Bytes::new(), activity, held }
    }

    /// The next piece, copied: a slice of the whole would keep the whole.
    fn piece(&mut self) -> Bytes {
        if self.rest.len() <= PIECE {
            return std::mem::take(&mut self.rest);
        }
        Bytes::copy_from_slice(&self.rest.split_to(PIECE))
    }
}

impl HttpBody for Written {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if self.held.is_some() => self.rest = data,
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if self.activity.phase() == Phase::Serving {
            self.activity.enter(Phase::Idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answers::Answers;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_large_answer_is_given_in_pieces_and_counted_until_the_last() {
        let answers = Answers::new(1_000_000);
        let text: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let held = answers.settle(None, text.len(), true).unwrap();
        let activity = Arc::new(Activity::new());
        activity.enter(Phase::Serving);
        let mut body = Written::new(Body::from(text.clone()), activity.clone(), held);
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= PIECE);
            read.extend_from_slice(&data);
            assert!(answers.settle(None, 950_000, true).is_err(), "it is still held");
        }
        assert!(body.is_end_stream());
        assert_eq!(read, text);
        drop(body);
        assert!(answers.settle(None, 950_000, true).is_ok());
        assert_eq!(activity.phase(), Phase::Idle);
    }
}
