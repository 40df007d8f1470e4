//! A real Redis for tests: a process on a free port of loopback, in a folder of its own, ended with the test.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses what it needs; a panic is a test's report")]

use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tidings_bus::RedisUrl;

/// How long anything may take before a test fails; never how long something must take.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// One `redis-server`.
pub struct Redis {
    pub port: u16,
    cluster_port: Option<u16>,
    child: Child,
    folder: TempDir,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(port: u16, cluster_port: Option<u16>, folder: &TempDir) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(folder.path()).stdout(Stdio::null());
    if let Some(cluster_port) = cluster_port {
        command.args(["--cluster-enabled", "yes", "--cluster-port", &cluster_port.to_string()]);
    }
    command.spawn().unwrap_or_else(|error| {
        panic!(
            "redis-server cannot be started ({error}); install it, on Debian: apt-get install redis-server"
        )
    })
}

impl Redis {
    /// One that stands alone.
    pub async fn start() -> Self {
        Self::start_as(None).await
    }

    async fn start_as(cluster_port: Option<u16>) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let child = spawn(port, cluster_port, &folder);
        let redis = Self { port, cluster_port, child, folder };
        redis.answers().await;
        redis
    }

    /// Several masters of one cluster.
    pub async fn start_cluster(nodes: u16) -> Vec<Self> {
        let mut cluster = Vec::new();
        for _ in 0..nodes {
            cluster.push(Self::start_as(Some(free_port())).await);
        }
        let share = 16_384_u32.div_ceil(u32::from(nodes));
        for (index, node) in (0..).zip(&cluster) {
            let (from, to) = (index * share, ((index + 1) * share - 1).min(16_383));
            node.run(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]).await.unwrap();
            // Else each takes the others for the same.
            node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).await.unwrap();
        }
        for node in &cluster[1..] {
            let port = cluster[0].port.to_string();
            let cluster_port = cluster[0].cluster_port.unwrap().to_string();
            node.run(&["CLUSTER", "MEET", "127.0.0.1", &port, &cluster_port]).await.unwrap();
        }
        for node in &cluster {
            until("the cluster to be one", async || {
                let redis::Value::Array(ranges) = node.run(&["CLUSTER", "SLOTS"]).await.unwrap() else {
                    return false;
                };
                let info: String = node.ask(&["CLUSTER", "INFO"]).await;
                ranges.len() == usize::from(nodes) && info.contains("cluster_state:ok")
            })
            .await;
        }
        cluster
    }

    pub fn url(&self) -> RedisUrl {
        format!("redis://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// One command on a connection of its own.
    pub async fn run(&self, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut packed = redis::cmd(command[0]);
        packed.arg(&command[1..]);
        packed.query_async(&mut connection).await
    }

    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        redis::from_redis_value(self.run(command).await.unwrap()).unwrap()
    }

    /// How many are subscribed to a channel here.
    pub async fn subscribers(&self, channel: &str) -> u64 {
        let name = if self.cluster_port.is_some() { "SHARDNUMSUB" } else { "NUMSUB" };
        let (_, count): (String, u64) = self.ask(&["PUBSUB", name, channel]).await;
        count
    }

    async fn answers(&self) {
        until("Redis to answer", async || self.run(&["PING"]).await.is_ok()).await;
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub async fn start_again(&mut self) {
        self.child = spawn(self.port, self.cluster_port, &self.folder);
        self.answers().await;
    }

    /// It neither answers nor closes anything from now on.
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for what happens in another process.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "waited in vain for {what}");
}
