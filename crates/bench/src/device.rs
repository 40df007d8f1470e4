use crate::checker::Checker;
use crate::clock::Clock;
use crate::frame::{self, Packet};
use crate::ledger::Ledger;
use crate::options::Attach;
use crate::payload::Mark;
use crate::target::Endpoint;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

const REGISTRATION_LIMIT: Duration = Duration::from_secs(30);

/// Who a device is.
pub struct Identity {
    pub user_id: String,
    pub device_id: String,
    /// Names the user in place of `user_id` where the server wants a token.
    pub token: Option<String>,
}

/// How all the run's devices behave.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    pub attach: Attach,
    pub acks: bool,
}

/// A registered device: a websocket with raw Socket.IO on it.
pub struct Device {
    socket: WebSocketStream<TcpStream>,
    checker: Checker,
    acks: bool,
    acked: u64,
}

/// Why a device is not, or no longer, registered.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("websocket: {0}")]
    WebSocket(#[from] tungstenite::Error),
    #[error("the server refused it: {0}")]
    Refused(String),
    #[error("the server closed the connection")]
    Closed,
    #[error("no inbox_ready within {} s", REGISTRATION_LIMIT.as_secs())]
    TooSlow,
    #[error("inbox_ready has no cursor: {0}")]
    NoCursor(String),
}

impl Device {
    /// Connects and registers; done when the server said `inbox_ready`.
    pub async fn register(endpoint: &Endpoint, who: &Identity, habits: Habits) -> Result<Self, DeviceError> {
        let registered = Self::register_at_leisure(endpoint, who, habits);
        tokio::time::timeout(REGISTRATION_LIMIT, registered).await.map_err(|_| DeviceError::TooSlow)?
    }

    async fn register_at_leisure(
        endpoint: &Endpoint,
        who: &Identity,
        habits: Habits,
    ) -> Result<Self, DeviceError> {
        let stream = TcpStream::connect(&endpoint.address).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", endpoint.address);
        let (mut socket, _) = client_async_with_config(url, stream, Some(small_buffers())).await?;
        let auth = auth(who, habits.acks);
        loop {
            let text = match socket.next().await.ok_or(DeviceError::Closed)?? {
                Message::Text(text) => text,
                Message::Close(_) => return Err(DeviceError::Closed),
                _ => continue,
            };
            match Packet::parse(&text) {
                Packet::Open => {
                    let connect = match habits.attach {
                        Attach::Auth => format!("40{auth}"),
                        Attach::Event => "40".to_owned(),
                    };
                    socket.send(Message::text(connect)).await?;
                }
                Packet::Connected if habits.attach == Attach::Event => {
                    socket.send(Message::text(format!("420[\"register_user\",{auth}]"))).await?;
                }
                Packet::Ping => socket.send(Message::text("3")).await?,
                Packet::Refused(why) => return Err(DeviceError::Refused(why.to_owned())),
                Packet::Answer(answer) if answer.starts_with("[{\"ok\":false") => {
                    return Err(DeviceError::Refused(answer.to_owned()));
                }
                Packet::Event { name: "inbox_ready", json } => {
                    let start = frame::cursor(json).ok_or_else(|| DeviceError::NoCursor(json.to_owned()))?;
                    let checker = Checker::new(start);
                    return Ok(Self { socket, acked: checker.rev(), checker, acks: habits.acks });
                }
                Packet::Closed => return Err(DeviceError::Closed),
                Packet::Connected | Packet::Event { .. } | Packet::Answer(_) | Packet::Other => {}
            }
        }
    }

    /// Receives until the connection ends, which no run expects.
    pub async fn receive(mut self, ledger: &RefCell<Ledger>, clock: Clock) -> DeviceError {
        loop {
            let message = self.socket.next().await;
            if let Err(error) = self.take(message, ledger, clock).await {
                return error;
            }
            // One acknowledgement for all that has already arrived.
            while let Some(message) = self.socket.next().now_or_never() {
                if let Err(error) = self.take(message, ledger, clock).await {
                    return error;
                }
            }
            if let Err(error) = self.acknowledge().await {
                return error.into();
            }
        }
    }

    async fn take(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
        ledger: &RefCell<Ledger>,
        clock: Clock,
    ) -> Result<(), DeviceError> {
        let text = match message.ok_or(DeviceError::Closed)?? {
            Message::Text(text) => text,
            Message::Close(_) => return Err(DeviceError::Closed),
            _ => return Ok(()),
        };
        match Packet::parse(&text) {
            Packet::Ping => self.socket.send(Message::text("3")).await?,
            Packet::Closed => return Err(DeviceError::Closed),
            Packet::Event { name, json } => self.learn(name, json, ledger, clock),
            _ => {}
        }
        Ok(())
    }

    fn learn(&mut self, name: &str, json: &str, ledger: &RefCell<Ledger>, clock: Clock) {
        let Some(cursor) = frame::cursor(json) else { return };
        let verdict = self.checker.observe(frame::prev(json), cursor);
        if name == "send_notification"
            && let Some(mark) = Mark::find(json)
        {
            ledger.borrow_mut().received(mark.number, mark.sent_at, clock.now(), verdict);
        }
    }

    async fn acknowledge(&mut self) -> Result<(), tungstenite::Error> {
        let rev = self.checker.rev();
        if !self.acks || rev == self.acked {
            return Ok(());
        }
        self.acked = rev;
        self.socket.send(Message::text(format!("42[\"ack_notifications\",{{\"rev\":{rev}}}]"))).await
    }
}

fn auth(who: &Identity, acks: bool) -> Value {
    let mut auth = json!({ "device_id": who.device_id, "acks": acks });
    match &who.token {
        Some(token) => auth["token"] = json!(token),
        None => auth["user_id"] = json!(who.user_id),
    }
    auth
}

/// A run holds thousands of sockets, each of which receives small packets.
fn small_buffers() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(64 * 1024)
        .max_message_size(Some(1024 * 1024))
        .max_frame_size(Some(1024 * 1024))
}
