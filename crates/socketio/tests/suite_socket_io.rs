//! What the protocol's own test suite asks of a Socket.IO 5 server, case by case, but for custom namespaces, of which there
//! are none here. What it asks of Engine.IO below is in `suite_engine_io.rs`.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod common;

use std::time::Duration;

use common::{Client, Server, config, send, serve};
use serde_json::Value;
use tidings_socketio::{Config, Connect, Incoming, Packet, Socket};
use tokio_tungstenite::tungstenite::Message;

/// The server that the suite talks to: it shows the client's `auth`, sends `message` back as `message-back`, and answers
/// `message-with-ack` with its own arguments.
async fn suite(mut socket: Socket, connect: Connect) {
    socket.accept(None).unwrap();
    let auth = connect.auth.unwrap_or_else(|| serde_json::from_str("{}").unwrap());
    send(&socket, &Packet::event("auth", &(auth,)).unwrap()).await.unwrap();
    while let Some(incoming) = socket.recv().await {
        let Incoming::Event(event) = incoming else { continue };
        let sent = match (event.name.as_str(), event.ack) {
            ("message", _) => {
                let back = Packet::binary("message-back", &event.args, event.attachments).unwrap();
                send(&socket, &back).await
            }
            ("message-with-ack", Some(ack)) => socket.ack_binary(ack, &event.args, event.attachments),
            other => panic!("not of the suite: {other:?}"),
        };
        sent.unwrap();
    }
}

async fn server() -> Server {
    serve(config(), suite).await
}

/// Behind the CONNECT and the `auth` event.
async fn connected() -> Client {
    let mut client = server().await.connected().await;
    assert_eq!(client.text().await, "42[\"auth\",{}]");
    client
}

mod connect {
    use super::*;

    #[tokio::test]
    async fn to_the_main_namespace() {
        for (connect, auth) in [("40", "{}"), ("40{\"token\":\"123\"}", "{\"token\":\"123\"}")] {
            let mut client = server().await.websocket().await;
            client.send(connect).await;
            let answer = client.text().await;
            let answer: Value = serde_json::from_str(answer.strip_prefix("40").unwrap()).unwrap();
            assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["sid"]);
            assert!(answer["sid"].is_string());
            assert_eq!(client.text().await, format!("42[\"auth\",{auth}]"));
        }
    }

    #[tokio::test]
    async fn to_an_unknown_namespace_is_refused() {
        let mut client = server().await.websocket().await;
        client.send("40/random").await;
        assert_eq!(client.text().await, "44/random,{\"message\":\"Invalid namespace\"}");
    }

    #[tokio::test]
    async fn an_invalid_one_closes() {
        let mut client = server().await.websocket().await;
        client.send("4abc").await;
        client.ends().await;
    }

    #[tokio::test]
    async fn without_one_it_closes() {
        let settings = Config { handshake_timeout: Duration::from_millis(100), ..config() };
        let mut client = serve(settings, suite).await.websocket().await;
        client.ends().await;
    }
}

/// The connection stays: it is the client's to close.
#[tokio::test]
async fn a_client_disconnects_from_the_main_namespace() {
    let settings = Config { ping_interval: Duration::from_millis(50), ..config() };
    let mut client = serve(settings, suite).await.connected().await;
    client.send("41").await;
    loop {
        match client.text().await.as_str() {
            "2" => break,
            text => assert_eq!(text, "42[\"auth\",{}]"),
        }
    }
}

mod message {
    use super::*;

    #[tokio::test]
    async fn text() {
        let mut client = connected().await;
        client.send("42[\"message\",1,\"2\",{\"3\":[true]}]").await;
        assert_eq!(client.text().await, "42[\"message-back\",1,\"2\",{\"3\":[true]}]");
    }

    #[tokio::test]
    async fn text_with_an_answer() {
        let mut client = connected().await;
        client.send("42456[\"message-with-ack\",1,\"2\",{\"3\":[false]}]").await;
        assert_eq!(client.text().await, "43456[1,\"2\",{\"3\":[false]}]");
    }

    #[tokio::test]
    async fn binary_with_and_without_an_answer() {
        let parts = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}";
        for (sent, back) in [
            (format!("452-[\"message\",{parts}]"), format!("452-[\"message-back\",{parts}]")),
            (format!("452-789[\"message-with-ack\",{parts}]"), format!("462-789[{parts}]")),
        ] {
            let mut client = connected().await;
            client.send(&sent).await;
            client.send_binary(&[1, 2, 3]).await;
            client.send_binary(&[4, 5, 6]).await;
            assert_eq!(client.text().await, back);
            assert_eq!(client.next().await, Some(Message::binary(&[1u8, 2, 3][..])));
            assert_eq!(client.next().await, Some(Message::binary(&[4u8, 5, 6][..])));
        }
    }

    #[tokio::test]
    async fn an_unknown_type_payload_or_answer_number_closes() {
        for text in ["4abc", "42{}", "42abc[\"message-with-ack\",1,\"2\",{\"3\":[false]}]"] {
            let mut client = connected().await;
            client.send(text).await;
            client.ends().await;
        }
    }
}
