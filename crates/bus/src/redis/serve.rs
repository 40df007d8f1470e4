//! The bus's life: connect, subscribe everything, serve until anything is wrong, and begin again, for ever.

use crate::redis::backoff::Backoff;
use crate::redis::carried::Carried;
use crate::redis::interest::BATCH;
use crate::redis::links::{Links, OnPush};
use crate::redis::message::{Gap, Kind, News, seal};
use crate::redis::{Message, Node, Outgoing};
use futures_util::FutureExt as _;
use redis::{PushKind, RedisError, RedisResult, Value};
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidings_domain::UserId;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// How often a connection is asked for a sign of life.
const PING: Duration = Duration::from_secs(1);

/// How many messages are published in one round trip.
const TOGETHER: usize = 512;

/// How often the others are told at most that news was lost.
const TELL_LOSS: Duration = Duration::from_secs(2);

/// A connection that held so long was a good one: the next attempt after it comes soon.
const STEADY: Duration = Duration::from_secs(10);

/// Serves until the listener is gone or the task is ended.
pub(super) async fn serve(node: Arc<Node>, mut queue: mpsc::Receiver<Outgoing>) {
    let mut backoff = Backoff::default();
    let mut told_down = false;
    while node.listener().is_some() {
        let since = Instant::now();
        let ended = life(&node, &mut queue).await;
        let was_up = node.up.swap(false, Ordering::SeqCst);
        if was_up || !told_down {
            told_down = true;
            tracing::warn!(
                redis.url = %node.url,
                error = %ended,
                "Redis cannot be reached: other nodes' news is looked for in the store every two seconds until it is back"
            );
        }
        if was_up {
            if since.elapsed() >= STEADY {
                backoff.reset();
            }
            // What was on its way may not have arrived.
            node.lost_news();
            if let Some(listener) = node.listener() {
                listener.gap();
            }
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// One connection's life. Returns why it ended.
async fn life(node: &Arc<Node>, queue: &mut mpsc::Receiver<Outgoing>) -> RedisError {
    let life = async {
        match connect(node).await {
            Ok(session) => session.run(queue).await,
            Err(error) => error,
        }
    };
    // A panic ends this connection like any other fault: the next one begins with everything subscribed anew.
    let panicked = |_| RedisError::from((redis::ErrorKind::Client, "the bus panicked; the log says where"));
    AssertUnwindSafe(life).catch_unwind().await.unwrap_or_else(panicked)
}

struct Session {
    node: Arc<Node>,
    links: Links,
    watch: Arc<Watch>,
}

/// What the connections' pushes tell beside messages.
#[derive(Default)]
struct Watch {
    /// Channels that we are unsubscribing from.
    parting: Mutex<HashSet<Vec<u8>>>,
    broken: Notify,
}

impl Watch {
    fn parting(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.parting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Redis says that a channel is not subscribed any more.
    fn parted(&self, data: &[Value]) {
        let expected =
            matches!(data.first(), Some(Value::BulkString(channel)) if self.parting().remove(channel));
        if !expected {
            self.broken.notify_one();
        }
    }
}

/// Connects and subscribes everything that is wanted.
async fn connect(node: &Arc<Node>) -> RedisResult<Session> {
    let watch = Arc::new(Watch::default());
    let (hearing, watching) = (node.clone(), watch.clone());
    let on_push: OnPush = Arc::new(move |push| match push.kind {
        PushKind::Message | PushKind::SMessage => hearing.received(&push.data),
        PushKind::Unsubscribe | PushKind::SUnsubscribe => watching.parted(&push.data),
        PushKind::Disconnection => watching.broken.notify_one(),
        _ => {}
    });
    let links = Links::connect(&node.url, &on_push).await?;
    links.subscribe(&[node.answers_channel(&node.id), node.common_channel()]).await?;
    for users in node.interest.all().chunks(BATCH) {
        let channels: Vec<_> = users.iter().map(|user| node.user_channel(user)).collect();
        links.subscribe(&channels).await?;
    }
    Ok(Session { node: node.clone(), links, watch })
}

impl Session {
    async fn run(&self, queue: &mut mpsc::Receiver<Outgoing>) -> RedisError {
        let Self { node, links, watch } = self;
        node.counters.connected.one();
        // From here on news is queued again. What was dropped until now was committed before the others hear of it.
        node.up.store(true, Ordering::SeqCst);
        if let Some(listener) = node.listener() {
            listener.gap();
        }
        tracing::info!(redis.url = %node.url, redis.cluster = links.is_cluster(), "Redis is connected: nodes hear each other");
        let ended = tokio::select! {
            ended = self.publish(queue) => ended,
            ended = self.subscribe() => ended,
            ended = self.tell_losses() => ended,
            ended = self.ping() => ended,
            () = watch.broken.notified() => Ok(()),
        };
        let lost = || RedisError::from((redis::ErrorKind::Io, "the connection broke, or channels moved"));
        ended.err().unwrap_or_else(lost)
    }

    /// What waits is written together.
    async fn publish(&self, queue: &mut mpsc::Receiver<Outgoing>) -> RedisResult<()> {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, TOGETHER).await > 0 {
            // Nobody waits any more for what was asked before the connection broke.
            batch.retain(|outgoing| outgoing.reached.as_ref().is_none_or(|reached| !reached.is_closed()));
            let (mut messages, mut tellers) = (Vec::new(), Vec::new());
            for Outgoing { channel, message, reached } in batch.drain(..) {
                let Some(bytes) = self.write(message) else {
                    // The others look for it in the store.
                    tracing::error!("a message to other nodes could not be encoded");
                    self.node.lost_news();
                    continue;
                };
                messages.push((channel, bytes));
                tellers.push(reached);
            }
            if messages.is_empty() {
                continue;
            }
            let reached = self.links.publish(&messages).await?;
            self.node.counters.published.add(messages.len());
            for (teller, reached) in tellers.into_iter().zip(reached) {
                if let Some(teller) = teller {
                    let _ = teller.send(reached);
                }
            }
        }
        Ok(())
    }

    fn write(&self, message: Message) -> Option<Vec<u8>> {
        let (node, epoch) = (&self.node.id, self.node.epoch().into());
        match message {
            Message::Ready(bytes) => Some(bytes),
            Message::Raised(rev) => {
                seal(node, Kind::News, 0, &News::<Carried<'_>> { epoch, rev, change: None })
            }
            Message::Change(change) => {
                let news = News { epoch, rev: change.rev, change: Some(Carried::of(&change)) };
                seal(node, Kind::News, 0, &news)
            }
        }
    }

    /// Follows who is wanted.
    async fn subscribe(&self) -> RedisResult<()> {
        let Node { interest, .. } = &*self.node;
        loop {
            let step = interest.step(Instant::now());
            if step.join.is_empty() && step.leave.is_empty() {
                tokio::select! {
                    () = interest.news.notified() => {}
                    () = at(step.next) => {}
                }
                continue;
            }
            let channels = |users: &[UserId]| -> Vec<Vec<u8>> {
                users.iter().map(|user| self.node.user_channel(user)).collect()
            };
            if !step.join.is_empty() {
                self.links.subscribe(&channels(&step.join)).await?;
                if let Some(listener) = self.node.listener() {
                    listener.joined(&step.join);
                }
            }
            if !step.leave.is_empty() {
                let channels = channels(&step.leave);
                self.watch.parting().extend(channels.iter().cloned());
                self.links.unsubscribe(&channels).await?;
            }
        }
    }

    /// Tells the others when news was lost, but not all the time.
    async fn tell_losses(&self) -> RedisResult<()> {
        loop {
            if self.node.lost.swap(false, Ordering::SeqCst) {
                let gap = Gap { epoch: self.node.epoch().into() };
                if let Some(message) = seal(&self.node.id, Kind::Gap, 0, &gap) {
                    self.links.publish(&[(self.node.common_channel(), message)]).await?;
                }
                tokio::time::sleep(TELL_LOSS).await;
            } else {
                self.node.lossy.notified().await;
            }
        }
    }

    async fn ping(&self) -> RedisResult<()> {
        loop {
            tokio::time::sleep(PING).await;
            self.links.ping().await?;
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
