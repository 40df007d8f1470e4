//! What the protocol's own test suite asks of an Engine.IO 4 server, case by case. Messages are Socket.IO packets here: this
//! server has no bare Engine.IO messages.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod common;

use std::time::Duration;

use common::{Server, config, echo, finish, serve, until, within};
use serde_json::Value;
use tidings_socketio::Config;
use tokio_tungstenite::tungstenite::Message;

/// The suite's own times.
fn settings() -> Config {
    Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        max_packet_bytes: 1_000_000,
        ..config()
    }
}

async fn server() -> Server {
    serve(settings(), echo).await
}

fn check_open(packet: &str, upgrades: &[&str]) {
    let open: Value = serde_json::from_str(packet.strip_prefix('0').expect("an open packet")).unwrap();
    let mut keys: Vec<&String> = open.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
    assert!(!open["sid"].as_str().unwrap().is_empty());
    assert_eq!(open["upgrades"], serde_json::json!(upgrades));
    assert_eq!((&open["pingInterval"], &open["pingTimeout"]), (&300.into(), &200.into()));
    assert_eq!(open["maxPayload"], 1_000_000);
}

async fn websocket_fails(server: &Server, query: &str) {
    let url = format!("ws://{}/socket.io/?{query}", server.address);
    assert!(within("a refusal", tokio_tungstenite::connect_async(url)).await.is_err(), "{query}");
}

mod handshake {
    use super::*;

    #[tokio::test]
    async fn polling_opens_a_session() {
        let answer = server().await.request("GET", "EIO=4&transport=polling", "", "").await;
        assert_eq!(answer.status, 200);
        check_open(&answer.body, &["websocket"]);
    }

    #[tokio::test]
    async fn polling_fails_without_a_valid_version_transport_or_method() {
        let server = server().await;
        for (method, query) in [
            ("GET", "transport=polling"),
            ("GET", "EIO=abc&transport=polling"),
            ("GET", "EIO=4"),
            ("GET", "EIO=4&transport=abc"),
            ("POST", "EIO=4&transport=polling"),
            ("PUT", "EIO=4&transport=polling"),
        ] {
            assert_eq!(server.request(method, query, "", "").await.status, 400, "{method} {query}");
        }
    }

    #[tokio::test]
    async fn a_websocket_opens_a_session() {
        let mut client = server().await.websocket_for("").await;
        check_open(&client.text().await, &[]);
    }

    #[tokio::test]
    async fn a_websocket_fails_without_a_valid_version_or_transport() {
        let server = server().await;
        for query in ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"] {
            websocket_fails(&server, query).await;
        }
    }
}

mod message {
    use super::*;

    /// A session whose pings do not come between.
    async fn quiet() -> Server {
        serve(Config { max_packet_bytes: 1_000_000, ..config() }, echo).await
    }

    #[tokio::test]
    async fn polling_carries_one_packet_several_and_binary_ones() {
        let client = quiet().await.polling_connected().await;
        for body in [
            "42[\"hello\"]",
            "42[\"test1\"]\x1e42[\"test2\"]\x1e42[\"test3\"]",
            "451-[\"hello\",{\"_placeholder\":true,\"num\":0}]\x1ebAQIDBA==",
        ] {
            let answer = client.post(body).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
            let (mut got, count) = (Vec::new(), body.split('\x1e').count());
            while got.len() < count {
                let answer = client.poll().await;
                assert_eq!(answer.status, 200);
                got.extend(answer.body.split('\x1e').map(str::to_owned));
            }
            assert_eq!(got.join("\x1e"), body);
        }
    }

    #[tokio::test]
    async fn polling_closes_upon_an_invalid_packet() {
        let client = quiet().await.polling().await;
        assert_eq!(client.post("abc").await.status, 400);
        assert_eq!(client.poll().await.status, 400);
    }

    #[tokio::test]
    async fn polling_closes_upon_a_second_poll() {
        let server = quiet().await;
        let client = server.polling_connected().await;
        let (one, two) = (client.begin("GET", "").await, client.begin("GET", "").await);
        let (one, two) = (within("one", finish(one)).await, within("two", finish(two)).await);
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400]);
        assert!([one, two].iter().any(|answer| answer.status == 200 && answer.body == "1"));
        assert_eq!(client.poll().await.status, 400);
    }

    #[tokio::test]
    async fn a_websocket_carries_text_and_binary() {
        let mut client = quiet().await.connected().await;
        client.send("42[\"hello\"]").await;
        assert_eq!(client.text().await, "42[\"hello\"]");
        let binary = "451-[\"hello\",{\"_placeholder\":true,\"num\":0}]";
        client.send(binary).await;
        client.send_binary(&[1, 2, 3, 4]).await;
        assert_eq!(client.text().await, binary);
        assert_eq!(client.next().await, Some(Message::binary(&[1u8, 2, 3, 4][..])));
    }

    #[tokio::test]
    async fn a_websocket_closes_upon_an_invalid_packet() {
        let mut client = quiet().await.websocket().await;
        client.send("abc").await;
        client.ends().await;
    }
}

mod heartbeat {
    use super::*;

    #[tokio::test]
    async fn polling_is_pinged() {
        let client = server().await.polling().await;
        for _ in 0..3 {
            let answer = client.poll().await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "2"));
            assert_eq!(client.post("3").await.status, 200);
        }
    }

    #[tokio::test]
    async fn polling_closes_without_a_pong() {
        let server = server().await;
        let client = server.polling().await;
        until("the session is gone", || server.io.sockets() == 0).await;
        assert_eq!(client.poll().await.status, 400);
    }

    #[tokio::test]
    async fn a_websocket_is_pinged() {
        let mut client = server().await.websocket().await;
        for _ in 0..3 {
            assert_eq!(client.text().await, "2");
            client.send("3").await;
        }
    }

    #[tokio::test]
    async fn a_websocket_closes_without_a_pong() {
        let mut client = server().await.websocket().await;
        assert_eq!(client.text().await, "2");
        client.ends().await;
    }
}

mod close {
    use super::*;

    #[tokio::test]
    async fn polling_is_closed_by_its_client() {
        let client = server().await.polling().await;
        let held = client.begin("GET", "").await;
        assert_eq!(client.post("1").await.status, 200);
        let answer = within("the held poll", finish(held)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "6"));
        assert_eq!(client.poll().await.status, 400);
    }

    #[tokio::test]
    async fn a_websocket_is_closed_by_its_client() {
        let mut client = server().await.websocket().await;
        client.send("1").await;
        client.ends().await;
    }
}

mod upgrade {
    use super::*;

    #[tokio::test]
    async fn from_polling_to_a_websocket() {
        let server = server().await;
        let client = server.polling().await;
        let mut ws = server.websocket_for(&client.sid).await;
        ws.send("2probe").await;
        assert_eq!(ws.text().await, "3probe");
        let answer = client.poll().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "6"));
        ws.send("5").await;
        ws.send("40").await;
        assert!(ws.text().await.starts_with("40{"));
        ws.send("42[\"hello\"]").await;
        assert_eq!(ws.text().await, "42[\"hello\"]");
    }

    /// Polls and other websockets for the session are refused, and it is none the worse for them.
    #[tokio::test]
    async fn after_it_the_session_is_the_websockets_alone() {
        let server = serve(config(), echo).await;
        let client = server.polling().await;
        let mut ws = server.websocket_for(&client.sid).await;
        ws.send("2probe").await;
        ws.send("5").await;
        assert_eq!(ws.text().await, "3probe");
        // Its `5` is read at its own time; before that a poll is answered with a noop.
        within("polling is over", async { while client.poll().await.status != 400 {} }).await;
        server.websocket_for(&client.sid).await.ends().await;
        ws.send("40").await;
        assert!(ws.text().await.starts_with("40{"));
        ws.send("42[\"hello\"]").await;
        assert_eq!(ws.text().await, "42[\"hello\"]");
    }
}
