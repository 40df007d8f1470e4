use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What the server does with a request.
#[derive(Clone)]
pub enum Reply {
    /// Answers with this body.
    Set(String),
    /// Answers with this body once a permit was given.
    After(Arc<Semaphore>, String),
    /// Answers with this status line and these headers, and no body.
    Status(&'static str),
    /// Hangs up.
    HangUp,
    /// Says nothing, and keeps the connection.
    Silence,
    /// Begins an answer and never ends it.
    HalfABody,
    /// Announces no length and sends without end.
    Flood,
}

/// A real server of key sets on loopback, which counts.
pub struct KeySetServer {
    address: std::net::SocketAddr,
    reply: Arc<Mutex<Reply>>,
    requests: Arc<AtomicUsize>,
}

impl KeySetServer {
    pub async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reply = Arc::new(Mutex::new(reply));
        let requests = Arc::new(AtomicUsize::new(0));
        let (replies, counter) = (reply.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, replies.clone(), counter.clone()));
            }
        });
        Self { address, reply, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}/keys.json?tenant=hidden-in-the-query", self.address)
    }

    pub fn now_replies(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(mut connection: TcpStream, reply: Arc<Mutex<Reply>>, requests: Arc<AtomicUsize>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if !matches!(connection.read_buf(&mut request).await, Ok(1..)) {
            return;
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let reply = reply.lock().unwrap().clone();
    // The client may have had enough at any time; that is its right.
    let _ = respond(&mut connection, reply).await;
}

async fn respond(connection: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Set(body) => write_set(connection, &body).await,
        Reply::After(gate, body) => {
            gate.acquire().await.unwrap().forget();
            write_set(connection, &body).await
        }
        Reply::Status(head) => {
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            connection.write_all(head.as_bytes()).await
        }
        Reply::HangUp => Ok(()),
        Reply::Silence => std::future::pending().await,
        Reply::HalfABody => {
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\":").await?;
            std::future::pending().await
        }
        Reply::Flood => {
            connection.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"keys\": [").await?;
            loop {
                connection.write_all(&[b' '; 4096]).await?;
            }
        }
    }
}

async fn write_set(connection: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body.as_bytes()).await
}
