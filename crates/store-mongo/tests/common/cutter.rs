//! A way to a server that breaks: what was asked arrives, the answer may not.

#![allow(clippy::unwrap_used, dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How it cuts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Every so many messages the answers to the next three are lost, and their connections cut: the driver, which tries a
    /// second time by itself, must give up.
    Every(i64),
    /// After so many messages everything is cut, for good.
    After(i64),
}

/// Listens in front of a server and forwards message by message.
pub struct Cutter {
    pub port: u16,
    left: Arc<AtomicI64>,
}

impl Cutter {
    pub async fn start(server: u16, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Until it is armed everything passes.
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let shared = left.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server, cut, shared.clone()));
            }
        });
        Self { port, left }
    }

    /// Begins to count.
    pub fn arm(&self, cut: Cut) {
        let (Cut::Every(count) | Cut::After(count)) = cut;
        self.left.store(count, Ordering::SeqCst);
    }

    pub fn uri(&self, database: &str) -> String {
        format!("mongodb://127.0.0.1:{}/{database}?directConnection=true", self.port)
    }
}

/// One message of MongoDB's protocol: its first four bytes say how long it is.
async fn message(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await.ok()?;
    let size =
        usize::try_from(u32::from_le_bytes(length)).ok().filter(|size| (16..64 << 20).contains(size))?;
    let mut bytes = length.to_vec();
    bytes.resize(size, 0);
    from.read_exact(&mut bytes[4..]).await.ok()?;
    Some(bytes)
}

/// What a driver says first on a connection, and again and again to see whether the server is well.
fn is_greeting(message: &[u8]) -> bool {
    [&b"hello\0"[..], b"isMaster\0"]
        .iter()
        .any(|word| message.windows(word.len()).any(|bytes| bytes == *word))
}

async fn forward(mut client: TcpStream, server: u16, cut: Cut, left: Arc<AtomicI64>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    while let Some(question) = message(&mut client).await {
        let left_now = match is_greeting(&question) {
            true => left.load(Ordering::SeqCst),
            false => left.fetch_sub(1, Ordering::SeqCst),
        };
        match cut {
            Cut::After(_) if left_now <= 0 => return,
            Cut::Every(count) if left_now <= 0 && !is_greeting(&question) => {
                if left_now <= -2 {
                    left.store(count, Ordering::SeqCst);
                }
                // It is done, and nobody hears of it.
                let _ = server.write_all(&question).await;
                let _ = message(&mut server).await;
                return;
            }
            _ => {}
        }
        if server.write_all(&question).await.is_err() {
            return;
        }
        let Some(answer) = message(&mut server).await else { return };
        if client.write_all(&answer).await.is_err() {
            return;
        }
    }
}
