//! A server that echoes: `cargo run -p tidings-socketio --example echo -- 3000`
//!
//! The port is the first argument or `PORT` (0, the default, takes a free one) and is printed once it is bound. An
//! event comes back as it was, `message` as `message-back`; one that asks for an answer gets its arguments as the
//! answer. Some names do more; see `serve` below. The settings of the public protocol test suites are reached with
//! `PING_INTERVAL_MS=300 PING_TIMEOUT_MS=200 MAX_PACKET_BYTES=1000000 HANDSHAKE_TIMEOUT_MS=1000`.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tidings_socketio::{
    Close, Config, Connect, Event, Incoming, Origins, Packet, SendError, Socket, SocketIo,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port =
        std::env::args().nth(1).or_else(|| std::env::var("PORT").ok()).unwrap_or_else(|| "0".to_owned());
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;

    let defaults = Config::default();
    let config = Config {
        ping_interval: millis("PING_INTERVAL_MS").unwrap_or(defaults.ping_interval),
        ping_timeout: millis("PING_TIMEOUT_MS").unwrap_or(defaults.ping_timeout),
        handshake_timeout: millis("HANDSHAKE_TIMEOUT_MS").unwrap_or(defaults.handshake_timeout),
        max_packet_bytes: number("MAX_PACKET_BYTES").unwrap_or(defaults.max_packet_bytes),
        origins: Origins::any(),
        ..defaults
    };
    let io = SocketIo::new(config, serve);
    let app = io.router().into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

fn millis(name: &str) -> Option<Duration> {
    Some(Duration::from_millis(number(name)? as u64))
}

/// The life of one socket.
async fn serve(mut socket: Socket, connect: Connect) {
    let auth: serde_json::Value =
        connect.auth.and_then(|auth| serde_json::from_str(auth.get()).ok()).unwrap_or_else(|| json!({}));
    if auth["refuse"] == true {
        return socket.refuse("refused", Some(&json!({ "code": "forbidden" })));
    }
    if socket.accept(auth["want_pid"].as_str()).is_err() {
        return;
    }
    if emit(&socket, &Packet::event("auth", &(&auth,))).await.is_err() {
        return;
    }
    while let Some(incoming) = socket.recv().await {
        if let Incoming::Event(event) = incoming
            && answer(&socket, event).await.is_err()
        {
            return;
        }
    }
}

/// What comes back for an event.
async fn answer(socket: &Socket, event: Event) -> Result<(), SendError> {
    let Event { name, args, attachments, ack } = event;
    match (name.as_str(), ack) {
        ("disconnect-me", _) => socket.close(Close::Disconnect),
        ("close-me", _) => socket.close(Close::Transport),
        // Asks the client back, then tells what it said.
        ("ask-me", _) => {
            if let Ok(said) = socket.ask("question", &args, attachments, Duration::from_secs(5)).await {
                emit(socket, &Packet::binary("said", &said.args, said.attachments)).await?;
            }
        }
        // Arguments with an offset behind them, as connection-state recovery has it.
        ("offset", _) => emit(socket, &Packet::event("offset", &(&args, "epoch:7"))).await?,
        (_, Some(ack)) => {
            while let Err(error) = socket.ack_binary(ack, &args, attachments.clone()) {
                match error {
                    SendError::Full => socket.ready().await,
                    other => return Err(other),
                }
            }
        }
        (name, None) => {
            let name = if name == "message" { "message-back" } else { name };
            emit(socket, &Packet::binary(name, &args, attachments)).await?;
        }
    }
    Ok(())
}

/// Sends, waiting for room if there is none: nothing is ever dropped.
async fn emit(
    socket: &Socket,
    packet: &Result<Packet, tidings_socketio::EncodeError>,
) -> Result<(), SendError> {
    let packet = packet.as_ref().map_err(|&error| SendError::Encode(error))?;
    while let Err(error) = socket.send(packet) {
        match error {
            SendError::Full => socket.ready().await,
            other => return Err(other),
        }
    }
    Ok(())
}
