//! A server on a free port and raw clients for it.

#![allow(dead_code, reason = "every test file uses its part of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tidings_socketio::{Config, Connect, Incoming, Origins, Packet, SendError, Socket, SocketIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Nothing here takes long; what does is a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

/// Looks again until it holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Like the defaults, but any test client may come.
pub fn config() -> Config {
    Config { origins: Origins::any(), ..Config::default() }
}

#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    pub io: SocketIo,
}

/// Serves until the test's runtime ends.
pub async fn serve<H, F>(config: Config, handler: H) -> Server
where
    H: Fn(Socket, Connect) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let io = SocketIo::new(config, handler);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = io.router().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server { address, io }
}

/// Accepts everybody, sends events back and answers with what was asked.
pub async fn echo(mut socket: Socket, _connect: Connect) {
    if socket.accept(None).is_err() {
        return;
    }
    while let Some(incoming) = socket.recv().await {
        let Incoming::Event(event) = incoming else { continue };
        let sent = match event.ack {
            Some(ack) => socket.ack_binary(ack, &event.args, event.attachments),
            None => {
                send(&socket, &Packet::binary(&event.name, &event.args, event.attachments).unwrap()).await
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Sends, waiting for room.
pub async fn send(socket: &Socket, packet: &Packet) -> Result<u64, SendError> {
    loop {
        match socket.send(packet) {
            Err(SendError::Full) => socket.ready().await,
            other => return other,
        }
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn has(&self, header: &str) -> bool {
        self.head.to_ascii_lowercase().lines().any(|line| line == header)
    }
}

impl Server {
    /// A request on a connection of its own.
    pub async fn request(&self, method: &str, query: &str, headers: &str, body: &str) -> Answer {
        let stream = self.begin(method, &format!("/socket.io/?{query}"), headers, body).await;
        within("an HTTP answer", finish(stream)).await
    }

    /// Sends a request without waiting for its answer.
    pub async fn begin(&self, method: &str, target: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}",
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// A polling session with an answered CONNECT.
    pub async fn polling(&self) -> Polling {
        let open = self.request("GET", "EIO=4&transport=polling", "", "").await;
        assert_eq!(open.status, 200, "{open:?}");
        let sid = serde_json::from_str::<Value>(&open.body[1..]).unwrap()["sid"].as_str().unwrap().to_owned();
        Polling { server: self.clone(), sid }
    }

    pub async fn polling_connected(&self) -> Polling {
        let client = self.polling().await;
        assert_eq!(client.post("40").await.body, "ok");
        let answer = client.poll().await;
        assert!(answer.body.starts_with("40{\"sid\":"), "{answer:?}");
        client
    }

    /// A websocket whose open packet was read.
    pub async fn websocket(&self) -> Client {
        let mut client = self.websocket_for("").await;
        let open = client.text().await;
        assert!(open.starts_with("0{"), "{open}");
        client
    }

    /// A websocket for a session.
    pub async fn websocket_for(&self, sid: &str) -> Client {
        let sid = if sid.is_empty() { String::new() } else { format!("&sid={sid}") };
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket{sid}", self.address);
        let (ws, _) = within("a websocket", tokio_tungstenite::connect_async(url)).await.unwrap();
        Client { ws }
    }

    /// A websocket with an answered CONNECT.
    pub async fn connected(&self) -> Client {
        let mut client = self.websocket().await;
        client.send("40").await;
        let answer = client.text().await;
        assert!(answer.starts_with("40{\"sid\":"), "{answer}");
        client
    }
}

/// Reads an HTTP answer up to the end of its connection.
pub async fn finish(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A polling client.
#[derive(Clone)]
pub struct Polling {
    pub server: Server,
    pub sid: String,
}

impl Polling {
    fn query(&self) -> String {
        format!("EIO=4&transport=polling&sid={}", self.sid)
    }

    pub async fn poll(&self) -> Answer {
        self.server.request("GET", &self.query(), "", "").await
    }

    pub async fn post(&self, body: &str) -> Answer {
        self.server.request("POST", &self.query(), "", body).await
    }

    /// A request that is not waited for.
    pub async fn begin(&self, method: &str, body: &str) -> TcpStream {
        self.server.begin(method, &format!("/socket.io/?{}", self.query()), "", body).await
    }
}

/// A websocket client that answers no ping by itself.
pub struct Client {
    pub ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub async fn send(&mut self, text: &str) {
        self.ws.send(Message::text(text)).await.unwrap();
    }

    pub async fn send_binary(&mut self, bytes: &'static [u8]) {
        self.ws.send(Message::binary(bytes)).await.unwrap();
    }

    /// The next message; `None` if the connection ended.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match within("a message", self.ws.next()).await? {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => return Some(message),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                _ => return None,
            }
        }
    }

    pub async fn text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("text expected, not {other:?}"),
        }
    }

    /// The connection ends, with nothing before and so that every client returns: some never do after a close frame
    /// without a code.
    pub async fn ends(&mut self) {
        loop {
            match within("the end", self.ws.next()).await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => panic!("a close frame: {frame:?}"),
                Some(Ok(message)) => panic!("not closed but sent {message:?}"),
                Some(Err(_)) | None => return,
            }
        }
    }
}
