use crate::Answer;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// How many questions may be open at once; past it only what this node knows is answered.
const OPEN: usize = 256;

/// How many nodes may answer one question.
const NODES: usize = 256;

/// What was asked and has not been answered by all.
#[derive(Debug, Default)]
pub struct Questions {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: HashMap<u64, mpsc::Sender<Reply>>,
}

/// What comes back.
#[derive(Debug)]
pub enum Reply {
    /// A node's answer.
    Answer(Answer),
    /// Our own question: we are subscribed too, and count among those it reached.
    Echo,
}

/// An open question; closed when dropped.
pub struct Open<'a> {
    questions: &'a Questions,
    /// Its number.
    pub id: u64,
    /// What comes back.
    pub replies: mpsc::Receiver<Reply>,
}

impl Questions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new one; `None` when too many are open.
    pub fn open(&self) -> Option<Open<'_>> {
        let mut state = self.lock();
        if state.open.len() >= OPEN {
            return None;
        }
        let (sender, replies) = mpsc::channel(NODES);
        let id = state.next;
        state.next = state.next.wrapping_add(1);
        state.open.insert(id, sender);
        Some(Open { questions: self, id, replies })
    }

    /// Something came back; whoever asked may have gone.
    pub fn reply(&self, id: u64, reply: Reply) {
        if let Some(sender) = self.lock().open.get(&id) {
            let _ = sender.try_send(reply);
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.questions.lock().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_back_finds_who_asked() {
        let questions = Questions::default();
        let (mut one, other) = (questions.open().unwrap(), questions.open().unwrap());
        questions.reply(other.id, Reply::Echo);
        questions.reply(one.id, Reply::Answer(Answer::Ended(1)));
        questions.reply(77, Reply::Echo);
        assert!(matches!(one.replies.recv().await, Some(Reply::Answer(Answer::Ended(1)))));
        assert!(one.replies.try_recv().is_err());
    }

    #[test]
    fn only_so_many_are_open_and_a_dropped_one_is_closed() {
        let questions = Questions::default();
        let open: Vec<_> = std::iter::from_fn(|| questions.open()).collect();
        assert_eq!(open.len(), OPEN);
        drop(open);
        assert!(questions.open().is_some());
    }
}
