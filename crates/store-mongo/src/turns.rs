//! Who may write to which inbox now, on this node.
//!
//! Writers of one inbox take turns in the order in which they came; those of different inboxes do not wait for each other.
//! Simple sends that wait are taken together: when one of the few groups that may be under way ends, the next takes all
//! that is ready. So one round trip carries as many as have come meanwhile, and nobody waits for a timer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidings_domain::UserId;
use tidings_store::{Outgoing, Receipt, StoreError};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

/// How many writers wait at most.
const WAITING: usize = 4_096;

/// How many groups of sends are under way at once: one is thought out while another waits for the disks.
const GROUPS: usize = 2;

/// How many sends one group carries, and about how many bytes.
const GROUP_SENDS: usize = 512;
const GROUP_BYTES: usize = 2 * 1024 * 1024;

type Ticket = u64;

/// A send that waits, and who waits for it.
pub(crate) struct Waiting {
    pub outgoing: Outgoing,
    pub answer: oneshot::Sender<Result<Receipt, StoreError>>,
}

enum Writer {
    Alone(oneshot::Sender<Turn>),
    Send(Box<Waiting>),
    /// Is writing.
    Busy,
}

struct Entry {
    users: Vec<UserId>,
    /// In how many queues others are before it.
    behind: usize,
    writer: Writer,
}

#[derive(Default)]
struct State {
    next: Ticket,
    queues: HashMap<UserId, VecDeque<Ticket>>,
    entries: HashMap<Ticket, Entry>,
    /// Sends whose turn it is.
    ready: VecDeque<Ticket>,
    groups: usize,
    closed: bool,
    idle: Vec<oneshot::Sender<()>>,
}

/// The queues of one node's writers.
#[derive(Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
    /// Woken when a group may begin.
    ready: Notify,
}

/// The right to write to some inboxes. It ends when it is dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    tickets: Vec<Ticket>,
    is_group: bool,
}

/// Sends that are written together.
pub(crate) struct Group {
    pub turn: Turn,
    pub sends: Vec<Waiting>,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements below: a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else writes to these inboxes, so long at most.
    pub(crate) async fn alone(
        self: &Arc<Self>,
        mut users: Vec<UserId>,
        wait: Duration,
    ) -> Result<Turn, StoreError> {
        users.sort_unstable();
        users.dedup();
        let (grant, granted) = oneshot::channel();
        self.enter(users, Writer::Alone(grant))?;
        match timeout(wait, granted).await {
            Ok(turn) => turn.map_err(|_| closed()),
            Err(_) => Err(StoreError::Unavailable("others write to the same inbox all the time".to_owned())),
        }
    }

    /// Waits until [`Self::group`] may have something.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Lets a send wait for its turn; [`Self::group`] takes it up.
    pub(crate) fn send(self: &Arc<Self>, waiting: Waiting) -> Result<(), StoreError> {
        self.enter(vec![waiting.outgoing.user_id.clone()], Writer::Send(Box::new(waiting)))
    }

    fn enter(self: &Arc<Self>, users: Vec<UserId>, writer: Writer) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        if state.entries.len() >= WAITING {
            return Err(StoreError::Unavailable("too many writes are waiting".to_owned()));
        }
        let ticket = state.next;
        state.next += 1;
        let mut behind = 0;
        for user in &users {
            let queue = state.queues.entry(user.clone()).or_default();
            behind += usize::from(!queue.is_empty());
            queue.push_back(ticket);
        }
        state.entries.insert(ticket, Entry { users, behind, writer });
        let refused = if behind == 0 { state.grant(self, ticket) } else { None };
        drop(state);
        drop(refused);
        Ok(())
    }

    /// The sends that are ready, when another group may begin and there are any.
    pub(crate) fn group(self: &Arc<Self>) -> Option<Group> {
        let mut state = self.lock();
        if state.groups >= GROUPS || state.ready.is_empty() {
            return None;
        }
        let (mut tickets, mut sends, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(first) = state.ready.pop_front() {
            state.gather(first, &mut tickets, &mut sends, &mut bytes);
            if sends.len() >= GROUP_SENDS || bytes >= GROUP_BYTES {
                break;
            }
        }
        state.groups += 1;
        Some(Group { turn: Turn { turns: self.clone(), tickets, is_group: true }, sends })
    }

    /// Whether the store is open.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.lock().closed { Err(closed()) } else { Ok(()) }
    }

    /// Refuses new writers and waits for those who are there.
    pub(crate) async fn close(&self) {
        let idle = {
            let mut state = self.lock();
            state.closed = true;
            if state.entries.is_empty() {
                return;
            }
            let (tell, told) = oneshot::channel();
            state.idle.push(tell);
            told
        };
        let _ = idle.await;
    }

    fn leave(self: &Arc<Self>, tickets: &[Ticket], is_group: bool) {
        let mut state = self.lock();
        let users: HashSet<UserId> = tickets
            .iter()
            .filter_map(|ticket| state.entries.remove(ticket))
            .flat_map(|entry| entry.users)
            .collect();
        let mut refused = Vec::new();
        for user in users {
            refused.extend(state.next_of(self, &user));
        }
        if is_group {
            state.groups -= 1;
            self.ready.notify_one();
        }
        if state.entries.is_empty() {
            for idle in state.idle.drain(..) {
                let _ = idle.send(());
            }
        }
        drop(state);
        // Outside of the lock: a turn that nobody waited for any more ends here, and is a call of this function.
        drop(refused);
    }
}

impl State {
    /// The ticket has nobody before it in any queue. A turn that nobody waits for any more is given back, to be dropped.
    fn grant(&mut self, turns: &Arc<Turns>, ticket: Ticket) -> Option<Turn> {
        let entry = self.entries.get_mut(&ticket)?;
        match std::mem::replace(&mut entry.writer, Writer::Busy) {
            Writer::Alone(grant) => {
                grant.send(Turn { turns: turns.clone(), tickets: vec![ticket], is_group: false }).err()
            }
            send => {
                entry.writer = send;
                self.ready.push_back(ticket);
                turns.ready.notify_one();
                None
            }
        }
    }

    /// Those at the front of the user's queue have left: the next one comes forward.
    fn next_of(&mut self, turns: &Arc<Turns>, user: &UserId) -> Option<Turn> {
        let queue = self.queues.get_mut(user)?;
        while queue.front().is_some_and(|ticket| !self.entries.contains_key(ticket)) {
            queue.pop_front();
        }
        let Some(&next) = queue.front() else {
            self.queues.remove(user);
            return None;
        };
        let entry = self.entries.get_mut(&next)?;
        entry.behind = entry.behind.saturating_sub(1);
        if entry.behind == 0 { self.grant(turns, next) } else { None }
    }

    /// Takes this send, and those that come right after it in the same queue.
    fn gather(
        &mut self,
        first: Ticket,
        tickets: &mut Vec<Ticket>,
        sends: &mut Vec<Waiting>,
        bytes: &mut usize,
    ) {
        let Some(user) = self.entries.get(&first).and_then(|entry| entry.users.first()).cloned() else {
            return;
        };
        let Some(queue) = self.queues.get(&user) else { return };
        for ticket in queue {
            if sends.len() >= GROUP_SENDS || *bytes >= GROUP_BYTES {
                break;
            }
            let Some(entry) = self.entries.get_mut(ticket) else { break };
            match std::mem::replace(&mut entry.writer, Writer::Busy) {
                Writer::Send(waiting) => {
                    let content = &waiting.outgoing.content;
                    *bytes += content.message.len() + content.title.len() + content.data.get().len() + 512;
                    tickets.push(*ticket);
                    sends.push(*waiting);
                }
                other => {
                    entry.writer = other;
                    break;
                }
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.leave(&self.tickets, self.is_group);
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tidings_domain::{Content, NotificationId};

    const WAIT: Duration = Duration::from_secs(60);

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn send(turns: &Arc<Turns>, to: &str) {
        let (answer, _) = oneshot::channel();
        let outgoing = Outgoing {
            user_id: user(to),
            id: NotificationId::from_bytes([7; 16]),
            content: Arc::new(Content::text("m")),
            expires_at: None,
            collapse_key: None,
        };
        turns.send(Waiting { outgoing, answer }).unwrap();
    }

    fn names(group: &Group) -> Vec<&str> {
        group.sends.iter().map(|send| send.outgoing.user_id.as_str()).collect()
    }

    #[test]
    fn what_waits_is_taken_together_and_inboxes_do_not_mix() {
        let turns = Arc::new(Turns::default());
        ["a", "b", "a", "c"].iter().for_each(|to| send(&turns, to));
        let group = turns.group().unwrap();
        assert_eq!(names(&group), ["a", "a", "b", "c"]);
        send(&turns, "a");
        send(&turns, "d");
        let other = turns.group().unwrap();
        assert_eq!(names(&other), ["d"], "a is being written");
        assert!(turns.group().is_none());
        drop(group);
        assert_eq!(names(&turns.group().unwrap()), ["a"]);
    }

    #[tokio::test]
    async fn turns_are_taken_in_the_order_in_which_they_were_asked_for() {
        let turns = Arc::new(Turns::default());
        send(&turns, "a");
        let group = turns.group().unwrap();
        let (mut first, mut second) = (
            Box::pin(turns.alone(vec![user("b"), user("a")], WAIT)),
            Box::pin(turns.alone(vec![user("a")], WAIT)),
        );
        assert!(futures_util::poll!(&mut first).is_pending());
        send(&turns, "b");
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(turns.group().is_none(), "b is promised to the first");
        drop(group);
        assert!(futures_util::poll!(&mut second).is_pending());
        let turn = first.await.unwrap();
        assert!(turns.group().is_none());
        drop(turn);
        assert_eq!(names(&turns.group().unwrap()), ["b"]);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn who_does_not_wait_any_more_holds_up_nobody() {
        let turns = Arc::new(Turns::default());
        let turn = turns.alone(vec![user("a")], WAIT).await.unwrap();
        let mut gone = Box::pin(turns.alone(vec![user("a")], WAIT));
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop(gone);
        let mut next = Box::pin(turns.alone(vec![user("a")], WAIT));
        assert!(futures_util::poll!(&mut next).is_pending());
        drop(turn);
        next.await.unwrap();
        assert!(turns.lock().queues.is_empty() && turns.lock().entries.is_empty());
    }

    #[tokio::test]
    async fn closing_waits_for_those_who_write() {
        let turns = Arc::new(Turns::default());
        let turn = turns.alone(vec![user("a")], WAIT).await.unwrap();
        let mut closing = Box::pin(turns.close());
        assert!(futures_util::poll!(&mut closing).is_pending());
        assert!(turns.alone(vec![user("b")], WAIT).await.is_err());
        drop(turn);
        closing.await;
    }
}
