//! Questions of the server that wait for the client's answer.

use std::task::{Poll, Waker};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::packet::AckId;

/// What a client answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The arguments of the client's callback.
    pub args: Vec<Box<RawValue>>,
    /// The binary parts, by the index in their placeholders.
    pub attachments: Vec<Bytes>,
}

#[derive(Debug, Default)]
pub(crate) struct Questions {
    next: u64,
    open: Vec<Question>,
}

#[derive(Debug)]
struct Question {
    id: AckId,
    waker: Option<Waker>,
    answer: Option<Answer>,
}

impl Questions {
    /// `None` when `most` are open already.
    pub(crate) fn ask(&mut self, most: usize) -> Option<AckId> {
        if self.open.len() >= most {
            return None;
        }
        let id = AckId(self.next);
        self.next += 1;
        self.open.push(Question { id, waker: None, answer: None });
        Some(id)
    }

    /// Keeps the answer for who asked and yields its waker. An answer to nothing, or a second one, changes nothing:
    /// the question may just have timed out.
    pub(crate) fn answer(&mut self, id: AckId, answer: Answer) -> Option<Waker> {
        let question = self.open.iter_mut().find(|q| q.id == id && q.answer.is_none())?;
        question.answer = Some(answer);
        question.waker.take()
    }

    pub(crate) fn poll(&mut self, id: AckId, waker: &Waker) -> Poll<Option<Answer>> {
        let Some(question) = self.open.iter_mut().find(|q| q.id == id) else { return Poll::Ready(None) };
        match question.answer.take() {
            Some(answer) => Poll::Ready(Some(answer)),
            None => {
                question.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn forget(&mut self, id: AckId) {
        self.open.retain(|q| q.id != id);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
    }

    /// The socket is gone: everybody who waits has to look again.
    pub(crate) fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.open.iter_mut().filter_map(|q| q.waker.take())
    }
}
