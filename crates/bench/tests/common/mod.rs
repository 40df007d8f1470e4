//! As little of a server as the load generator needs, with faults to order. Not a model of the real one.

use futures_util::{SinkExt as _, StreamExt as _};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every tenth notification is not delivered.
    Loses,
    /// Every tenth notification is delivered twice.
    Doubles,
    /// Every tenth notification is delivered after the one behind it.
    Swaps,
    /// Every tenth notification is refused.
    Refuses,
    /// Every tenth CONNECT is refused.
    RefusesDevices,
    /// Sends nonsense between what matters.
    Babbles,
}

type Devices = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<String>>>>;

/// Starts it and returns its address as a URL.
pub async fn start(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let devices = Devices::default();
    tokio::spawn(async move {
        let mut connections = 0;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections += 1;
            tokio::spawn(serve(stream, Arc::clone(&devices), fault, connections));
        }
    });
    url
}

async fn serve(stream: TcpStream, devices: Devices, fault: Fault, connection: u32) {
    let mut start = [0; 4];
    while stream.peek(&mut start).await.unwrap_or(0) < start.len() {}
    if start == *b"POST" {
        sender(stream, devices, fault).await;
    } else {
        device(stream, devices, fault, connection).await;
    }
}

async fn sender(mut stream: TcpStream, devices: Devices, fault: Fault) {
    let mut bytes = vec![0; 16 * 1024];
    for number in 1_u64.. {
        // The client writes a request at once, and loopback delivers it so.
        let read = stream.read(&mut bytes).await.unwrap_or(0);
        let Some(body) = std::str::from_utf8(&bytes[..read]).unwrap().split("\r\n\r\n").nth(1) else {
            return;
        };
        let refused = fault == Fault::Refuses && number.is_multiple_of(10);
        if !refused {
            let json: serde_json::Value = serde_json::from_str(body).unwrap();
            let devices = devices.lock().unwrap();
            let _ = devices[json["to"].as_str().unwrap()].send(body.to_owned());
        }
        let status = if refused { "503 Service Unavailable" } else { "201 Created" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn device(stream: TcpStream, devices: Devices, fault: Fault, connection: u32) {
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    socket.send(Message::text(r#"0{"sid":"s","pingInterval":25000}"#)).await.unwrap();
    let mut connect = socket.next().await.unwrap().unwrap().into_text().unwrap().to_string();
    if connect == "40" {
        socket.send(Message::text(r#"40{"sid":"s"}"#)).await.unwrap();
        connect = socket.next().await.unwrap().unwrap().into_text().unwrap().to_string();
        connect =
            connect.strip_prefix("420[\"register_user\",").unwrap().strip_suffix(']').unwrap().to_owned();
    }
    if fault == Fault::RefusesDevices && connection.is_multiple_of(10) {
        socket.send(Message::text(r#"44{"message":"no room"}"#)).await.unwrap();
        return;
    }
    let auth: serde_json::Value = serde_json::from_str(connect.trim_start_matches("40")).unwrap();
    let (due, mut notifications) = mpsc::unbounded_channel();
    devices.lock().unwrap().insert(auth["user_id"].as_str().unwrap().to_owned(), due);
    socket.send(Message::text(r#"42["inbox_ready",{"ok":true,"cursor":0},"e1:0"]"#)).await.unwrap();
    socket.send(Message::text("2")).await.unwrap();
    let mut kept = None;
    let mut served = 0;
    let mut rev = 0_u64;
    while let Some(notification) = notifications.recv().await {
        rev += 1;
        let event =
            |prev: u64| format!(r#"42["send_notification",{notification},{{"prev":{prev}}},"e1:{rev}"]"#);
        let tenth = rev.is_multiple_of(10);
        let mut events = vec![event(served)];
        match fault {
            Fault::Loses if tenth => {
                events.clear();
            }
            Fault::Doubles if tenth => events.push(event(served)),
            Fault::Swaps if tenth => kept = events.pop(),
            Fault::Babbles => {
                for nonsense in [
                    "",
                    "6",
                    "42",
                    "42[",
                    "4é",
                    "42[\"x\"]",
                    "42[\"x\",\"\"]",
                    "43[]",
                    "42[\"send_notification\"]",
                ] {
                    events.push(nonsense.to_owned());
                }
                socket.send(Message::binary(vec![0, 255])).await.unwrap();
            }
            _ => events.extend(kept.take()),
        }
        served = rev;
        for event in events {
            if socket.send(Message::text(event)).await.is_err() {
                return;
            }
        }
    }
}
