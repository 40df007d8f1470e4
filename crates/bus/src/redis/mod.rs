//! The bus of a cluster: Redis pub/sub, one channel a user.
//!
//! A node is subscribed to the channels of the users who have a socket on it, and for half a minute after the last one
//! left. News of a user goes to that channel, so a node gets, and decodes, only what is for its own users; news of who is
//! offline everywhere costs Redis a publish without a subscriber. On a Redis Cluster the channels are sharded
//! (`SSUBSCRIBE`, `SPUBLISH`): each lies on one node of Redis and costs the others nothing.
//!
//! # Why at most once is enough, race by race
//!
//! The store is the truth; news only says that there is something to read. So nothing depends on any one message, but on
//! this: **whoever may have missed one looks in the store soon after.** A head that is read after a commit shows it, and
//! news is published after the commit. Race by race:
//!
//! - **A commit elsewhere while a user attaches here.** Attaching does not wait for Redis: it joins, reads the head and
//!   serves. Between that read and the moment when the subscription holds, news passes us by. Therefore the user's head is
//!   read again once Redis has confirmed ([`Listener::joined`]): what was published before was committed before, so that
//!   read shows it; what is published after arrives.
//! - **A user who comes back within the half minute** is still subscribed. News that came meanwhile was skipped, but
//!   `join` marks the user as held before the head is read, so what that read does not show is not skipped.
//! - **A connection that breaks.** Redis keeps nothing for a subscriber who is away. Every channel is subscribed again,
//!   and only when all of them hold, [`Listener::gap`] tells the node to look at the heads of all its users.
//! - **A node that could not publish** (its connection broke while others kept theirs; too much waited) knows that it lost
//!   news, not who missed it. It says so to all nodes, on a channel that they share, as soon as it can: to them it is a gap.
//! - **A Redis that hangs** says nothing. Each connection is asked for a sign of life every second; without an answer
//!   within a second and a half it counts as broken. Commands and pushes share a connection, so an answer proves both.
//! - **Channels that move** to another node of a Redis Cluster: Redis unsubscribes us by itself, or refuses a command with
//!   `MOVED`. Either counts as a broken connection, and the cluster is asked again who has what.
//! - **While Redis is away** [`Bus::link`] says so, and the server looks at its users' heads every two seconds.
//! - **Doubled, late, reordered, forged:** the reader takes what continues at its cursor, and the rest from the store.
//!
//! # Questions
//!
//! Who is online, and ending all of a user's sessions, is asked over the same channels: only nodes that hold the user
//! hear it, and Redis answers a publish with how many there are, so that nobody waits for more answers than will come.
//! Nothing is kept in Redis, so nothing goes stale when a node dies.

mod backoff;
mod carried;
mod counters;
mod interest;
mod links;
mod message;
mod questions;
mod receive;
mod serve;
mod slots;
mod url;

pub use counters::Stats;
pub use url::{RedisUrl, RedisUrlError};

use crate::{Answer, Bus, Link, Listener, Question};
use async_trait::async_trait;
use counters::Counters;
use interest::Interest;
use message::{Kind, NodeId};
use questions::{Questions, Reply};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tidings_domain::{Change, Epoch, Revision, UserId};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What may differ between deployments and in tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// What every channel's name begins with; clusters of Tidings that share a Redis have different ones.
    pub prefix: String,
    /// How long a user stays subscribed after the last socket left.
    pub grace: Duration,
    /// How many messages wait for Redis at most.
    pub queue: usize,
    /// A change up to about so many bytes is told with its news; a larger one is read from the store by who needs it.
    pub carried_bytes: usize,
    /// How long a question waits for its answers.
    pub answers_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "tidings:".to_owned(),
            grace: Duration::from_secs(30),
            queue: 4_096,
            carried_bytes: 8 * 1024,
            answers_within: Duration::from_millis(250),
        }
    }
}

/// The bus of a cluster. Its page says how it works.
pub struct RedisBus {
    node: Arc<Node>,
    waiting: Mutex<Option<mpsc::Receiver<Outgoing>>>,
    task: OnceLock<AbortHandle>,
}

/// What the bus's parts share.
struct Node {
    id: NodeId,
    options: Options,
    url: RedisUrl,
    listening: OnceLock<Listening>,
    queue: mpsc::Sender<Outgoing>,
    interest: Interest,
    questions: Questions,
    counters: Counters,
    up: AtomicBool,
    /// News was lost that the others have not been told of.
    lost: AtomicBool,
    lossy: Notify,
    told_of_foreign: AtomicBool,
}

struct Listening {
    epoch: Epoch,
    listener: Weak<dyn Listener>,
}

/// What waits for Redis.
struct Outgoing {
    channel: Vec<u8>,
    message: Message,
    /// Told how many it reached.
    reached: Option<oneshot::Sender<usize>>,
}

enum Message {
    /// A change, to be written when its turn comes: not on the store's time.
    Change(Arc<Change>),
    /// A change that is too large.
    Raised(Revision),
    Ready(Vec<u8>),
}

impl RedisBus {
    /// A bus that is not connected yet: [`Bus::listen`] begins, and needs a tokio runtime.
    pub fn new(url: RedisUrl, options: Options) -> Self {
        if url.is_tls() {
            // The client takes the process's provider; an error says that there is one.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let (queue, waiting) = mpsc::channel(options.queue.max(1));
        let mut id = NodeId::default();
        if getrandom::fill(&mut id).is_err() {
            // Without randomness from the system nothing else works either; two such nodes would not hear each other.
            tracing::error!("the system gives no random numbers; this node has no name of its own");
        }
        let node = Node {
            id,
            interest: Interest::new(options.grace),
            options,
            url,
            listening: OnceLock::new(),
            queue,
            questions: Questions::default(),
            counters: Counters::default(),
            up: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            lossy: Notify::new(),
            told_of_foreign: AtomicBool::new(false),
        };
        Self { node: Arc::new(node), waiting: Mutex::new(Some(waiting)), task: OnceLock::new() }
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.node.counters.read()
    }
}

impl Drop for RedisBus {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

#[async_trait]
impl Bus for RedisBus {
    fn listen(&self, epoch: &Epoch, listener: Weak<dyn Listener>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = waiting {
            let _ = self.node.listening.set(Listening { epoch: epoch.clone(), listener });
            let task = tokio::spawn(serve::serve(self.node.clone(), waiting));
            let _ = self.task.set(task.abort_handle());
        }
    }

    fn publish(&self, change: Arc<Change>) {
        let node = &self.node;
        if let Some(listener) = node.listener() {
            listener.heard(&change);
        }
        let channel = node.user_channel(&change.user_id);
        let message = match carried::size(&change) <= node.options.carried_bytes {
            true => Message::Change(change),
            false => Message::Raised(change.rev),
        };
        if !node.send(Outgoing { channel, message, reached: None }) {
            node.counters.dropped.one();
            node.lost_news();
        }
    }

    fn join(&self, user: &UserId) {
        self.node.interest.join(user);
    }

    fn leave(&self, user: &UserId) {
        self.node.interest.leave(user, Instant::now());
    }

    async fn ask(&self, user: &UserId, question: Question) -> Vec<Answer> {
        let mut answers = Vec::new();
        let asking = self.node.ask(user, question, &mut answers);
        if tokio::time::timeout(self.node.options.answers_within, asking).await.is_err() {
            self.node.counters.unanswered.one();
        }
        answers
    }

    fn link(&self) -> Link {
        if self.node.up.load(Ordering::SeqCst) { Link::Up } else { Link::Down }
    }
}

impl Node {
    fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.listening.get()?.listener.upgrade()
    }

    fn epoch(&self) -> &str {
        self.listening.get().map_or("", |listening| listening.epoch.as_str())
    }

    fn user_channel(&self, user: &UserId) -> Vec<u8> {
        [self.options.prefix.as_bytes(), b"u:", user.as_str().as_bytes()].concat()
    }

    /// The user whose channel it is.
    fn user_of(&self, channel: &[u8]) -> Option<UserId> {
        let name = channel.strip_prefix(self.options.prefix.as_bytes())?.strip_prefix(b"u:")?;
        UserId::stored(std::str::from_utf8(name).ok()?).ok()
    }

    /// Where a node's answers arrive.
    fn answers_channel(&self, node: &[u8]) -> Vec<u8> {
        let name: String = node.iter().map(|byte| format!("{byte:02x}")).collect();
        [self.options.prefix.as_bytes(), b"n:", name.as_bytes()].concat()
    }

    /// What every node hears.
    fn common_channel(&self) -> Vec<u8> {
        [self.options.prefix.as_bytes(), b"all"].concat()
    }

    /// Queues it. `false` when Redis is away or too much waits.
    fn send(&self, outgoing: Outgoing) -> bool {
        self.up.load(Ordering::SeqCst) && self.queue.try_send(outgoing).is_ok()
    }

    /// The others are to be told, as soon as it can be.
    fn lost_news(&self) {
        if !self.lost.swap(true, Ordering::SeqCst) {
            self.lossy.notify_one();
        }
    }

    async fn ask(&self, user: &UserId, question: Question, answers: &mut Vec<Answer>) -> Option<()> {
        let mut open = self.questions.open()?;
        let asked = message::Asked { epoch: self.epoch().into(), question };
        let message = Message::Ready(message::seal(&self.id, Kind::Ask, open.id, &asked)?);
        let (reached, told) = oneshot::channel();
        let outgoing = Outgoing { channel: self.user_channel(user), message, reached: Some(reached) };
        if !self.send(outgoing) {
            return None;
        }
        let expected = told.await.ok()?;
        for _ in 0..expected {
            match open.replies.recv().await? {
                Reply::Answer(answer) => answers.push(answer),
                Reply::Echo => {}
            }
        }
        Some(())
    }
}
