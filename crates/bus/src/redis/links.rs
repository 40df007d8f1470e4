use crate::redis::slots::{SLOTS, slot};
use crate::redis::url::{RedisUrl, beside, host};
use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, Pipeline, PushInfo, RedisError,
    RedisResult, Value, cmd,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long Redis may take to answer anything. Longer, and the connection counts as dead.
pub const PATIENCE: Duration = Duration::from_millis(1_500);

/// Where pushed messages go; called by the connections, in order within each.
pub type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// One connection to each node of Redis that channels may lie on: one in all, or one a master of a Redis Cluster. It is
/// both for publishing and for what is subscribed (RESP3), so that an answer to one proves that the other lives.
pub struct Links {
    nodes: Vec<MultiplexedConnection>,
    /// The node of each slot; `None`: no cluster, and pub/sub is not sharded.
    slots: Option<Box<[u16]>>,
}

impl Links {
    /// Connects to the first seed that answers and, when it is one of a cluster, to the cluster's masters.
    pub async fn connect(url: &RedisUrl, on_push: &OnPush) -> RedisResult<Self> {
        let mut failure = failed("no host is given");
        for seed in &url.seeds {
            match Self::connect_to(seed, on_push).await {
                Ok(links) => return Ok(links),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_to(seed: &ConnectionInfo, on_push: &OnPush) -> RedisResult<Self> {
        let mut first = open(seed, on_push).await?;
        let hello: HashMap<String, Value> = cmd("HELLO").query_async(&mut first).await?;
        let cluster = matches!(hello.get("mode"), Some(Value::BulkString(mode)) if mode == b"cluster");
        let simple = matches!(hello.get("mode"), Some(Value::SimpleString(mode)) if mode == "cluster");
        if !cluster && !simple {
            return Ok(Self { nodes: vec![first], slots: None });
        }
        let ranges: Vec<Value> = cmd("CLUSTER").arg("SLOTS").query_async(&mut first).await?;
        let mut places: Vec<(String, u16)> = Vec::new();
        let mut slots = vec![u16::MAX; SLOTS].into_boxed_slice();
        for range in ranges {
            let (from, to, place) =
                read_range(range, seed).ok_or_else(|| failed("its slots cannot be read"))?;
            let node = places.iter().position(|known| *known == place).unwrap_or_else(|| {
                places.push(place);
                places.len() - 1
            });
            let node = u16::try_from(node).map_err(|_| failed("it has too many nodes"))?;
            slots.get_mut(from..=to).ok_or_else(|| failed("its slots cannot be read"))?.fill(node);
        }
        if slots.contains(&u16::MAX) {
            return Err(failed("some slots of the cluster are served by no node"));
        }
        let infos: Vec<_> = places.into_iter().map(|(host, port)| beside(seed, host, port)).collect();
        let nodes = try_join_all(infos.iter().map(|info| open(info, on_push))).await?;
        Ok(Self { nodes, slots: Some(slots) })
    }

    /// Whether the channels lie on the nodes of a cluster.
    pub fn is_cluster(&self) -> bool {
        self.slots.is_some()
    }

    fn node_of(&self, channel: &[u8]) -> usize {
        self.slots.as_ref().map_or(0, |slots| usize::from(slots[slot(channel)]))
    }

    /// Subscribes; returns when all of them hold.
    pub async fn subscribe(&self, channels: &[Vec<u8>]) -> RedisResult<()> {
        self.each(if self.is_cluster() { "SSUBSCRIBE" } else { "SUBSCRIBE" }, channels).await
    }

    /// Unsubscribes.
    pub async fn unsubscribe(&self, channels: &[Vec<u8>]) -> RedisResult<()> {
        self.each(if self.is_cluster() { "SUNSUBSCRIBE" } else { "UNSUBSCRIBE" }, channels).await
    }

    /// One command a channel: a cluster takes only channels of one slot in one.
    async fn each(&self, name: &str, channels: &[Vec<u8>]) -> RedisResult<()> {
        let commands = channels.iter().map(|channel| {
            let mut command = cmd(name);
            command.arg(channel);
            (channel.as_slice(), command)
        });
        self.run(commands).await.map(drop)
    }

    /// Publishes all of it in one round trip. Answers how many subscribers each reached.
    pub async fn publish(&self, messages: &[(Vec<u8>, Vec<u8>)]) -> RedisResult<Vec<usize>> {
        let name = if self.is_cluster() { "SPUBLISH" } else { "PUBLISH" };
        let commands = messages.iter().map(|(channel, message)| {
            let mut command = cmd(name);
            command.arg(channel).arg(message);
            (channel.as_slice(), command)
        });
        let reached = self.run(commands).await?.into_iter();
        Ok(reached.map(|value| redis::from_redis_value(value).unwrap_or(0)).collect())
    }

    /// Asks every node for a sign of life.
    pub async fn ping(&self) -> RedisResult<()> {
        try_join_all(self.nodes.iter().map(|node| async move {
            let mut node = node.clone();
            cmd("PING").query_async::<Value>(&mut node).await
        }))
        .await
        .map(drop)
    }

    /// Each command to the node of its channel, those of one node written together; the answers in the commands' order.
    async fn run<'a>(&self, commands: impl Iterator<Item = (&'a [u8], Cmd)>) -> RedisResult<Vec<Value>> {
        let mut pipes: Vec<(Pipeline, Vec<usize>)> = self.nodes.iter().map(|_| Default::default()).collect();
        let mut count = 0;
        for (channel, command) in commands {
            let (pipe, places) = &mut pipes[self.node_of(channel)];
            pipe.add_command(command);
            places.push(count);
            count += 1;
        }
        let used = self.nodes.iter().zip(pipes).filter(|(_, (_, places))| !places.is_empty());
        let answers = try_join_all(used.map(|(node, (pipe, places))| async move {
            let values: Vec<Value> = pipe.query_async(&mut node.clone()).await?;
            Ok::<_, RedisError>((places, values))
        }));
        let mut ordered = vec![Value::Nil; count];
        for (places, values) in answers.await? {
            places.into_iter().zip(values).for_each(|(place, value)| ordered[place] = value);
        }
        Ok(ordered)
    }
}

async fn open(info: &ConnectionInfo, on_push: &OnPush) -> RedisResult<MultiplexedConnection> {
    let on_push = on_push.clone();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_push_sender(move |push| {
            on_push(push);
            Ok::<(), redis::aio::SendError>(())
        });
    Client::open(info.clone())?.get_multiplexed_async_connection_with_config(&config).await
}

/// First slot, last slot, and where their master is.
fn read_range(range: Value, seed: &ConnectionInfo) -> Option<(usize, usize, (String, u16))> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = parts.as_slice() else { return None };
    let [place, Value::Int(port), ..] = master.as_slice() else { return None };
    let place = match place {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok()?,
        Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    };
    // A node that does not know its own name is where we found it.
    let place = if place.is_empty() || place == "?" { host(seed) } else { place };
    Some((usize::try_from(*from).ok()?, usize::try_from(*to).ok()?, (place, u16::try_from(*port).ok()?)))
}

fn failed(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, why))
}
