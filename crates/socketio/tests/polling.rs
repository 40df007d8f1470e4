//! Socket.IO over HTTP long-polling.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{config, echo, finish, serve, until, within};
use tidings_socketio::{Close, Config, Incoming, Packet};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

/// Polls until this many packets came.
async fn packets(client: &common::Polling, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let answer = client.poll().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        all.extend(answer.body.split('\x1e').map(str::to_owned));
    }
    all
}

#[tokio::test]
async fn events_answers_and_binary_come_back() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    let body =
        "42[\"a\",1]\x1e427[\"b\",\"é\"]\x1e451-[\"c\",{\"_placeholder\":true,\"num\":0}]\x1ebAQIDBA==";
    let answer = client.post(body).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(
        packets(&client, 4).await,
        ["42[\"a\",1]", "437[\"é\"]", "451-[\"c\",{\"_placeholder\":true,\"num\":0}]", "bAQIDBA=="]
    );
}

#[tokio::test]
async fn a_poll_waits_for_output() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    let held = client.begin("GET", "").await;
    client.post("42[\"late\"]").await;
    let answer = within("the held poll", finish(held)).await;
    assert_eq!(answer.body, "42[\"late\"]");
    assert!(answer.has("content-type: text/plain; charset=utf-8"), "{}", answer.head);
    assert!(answer.has("cache-control: no-store"));
}

#[tokio::test]
async fn two_polls_at_once_close_the_session() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    let (one, two) = (client.begin("GET", "").await, client.begin("GET", "").await);
    let (one, two) = (within("one", finish(one)).await, within("two", finish(two)).await);
    let mut both = [(one.status, one.body.as_str() == "1"), (two.status, two.body.as_str() == "1")];
    both.sort_unstable();
    assert_eq!(both, [(200, true), (400, false)]);
    assert_eq!(client.poll().await.status, 400);
    until("it is gone", || server.io.sockets() == 0).await;
}

#[tokio::test]
async fn two_posts_at_once_close_the_session() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", client.sid);
    let mut slow = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head =
        format!("POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n42[");
    slow.write_all(head.as_bytes()).await.unwrap();
    // The slow one has begun when a second is refused; before that the second is the first.
    within("a refusal", async {
        while client.post("42[\"b\"]").await.status == 200 {
            client.poll().await;
        }
    })
    .await;
    assert_eq!(within("the slow one", finish(slow)).await.status, 400);
    assert_eq!(client.poll().await.status, 400);
}

#[tokio::test]
async fn what_is_not_the_protocol_closes_the_session() {
    let server = serve(Config { max_packet_bytes: 1_000, ..config() }, echo).await;
    let long = format!("42[\"{}\"]", "x".repeat(1_000));
    for (body, status) in [
        ("abc", 400),
        ("", 400),
        ("4abc", 400),
        ("b!", 400),
        ("42[\"a\"]\x1e", 400),
        ("2probe", 400),
        (long.as_str(), 413),
    ] {
        let client = server.polling_connected().await;
        assert_eq!(client.post(body).await.status, status, "{body}");
        assert_eq!(client.poll().await.status, 400, "{body}");
    }
    until("all are gone", || server.io.sockets() == 0).await;
}

#[tokio::test]
async fn a_poll_given_up_closes_the_session() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    drop(client.begin("GET", "").await);
    until("it is gone", || server.io.sockets() == 0).await;
}

#[tokio::test]
async fn a_post_cut_off_closes_the_session() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    let mut post = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n42[",
        client.sid
    );
    post.write_all(head.as_bytes()).await.unwrap();
    drop(post);
    until("it is gone", || server.io.sockets() == 0).await;
}

#[tokio::test]
async fn the_client_closes() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    let held = client.begin("GET", "").await;
    assert_eq!(client.post("1").await.status, 200);
    assert_eq!(within("the held poll", finish(held)).await.body, "6");
    assert_eq!(client.poll().await.status, 400);
    until("it is gone", || server.io.sockets() == 0).await;
}

#[tokio::test]
async fn the_server_ends_the_socket() {
    for (how, last, end) in [(Close::Disconnect, Some("41"), 200), (Close::Transport, None, 400)] {
        let server = serve(config(), move |mut socket, _| async move {
            socket.accept(None).unwrap();
            socket.recv().await;
            socket.send(&Packet::event("last", &()).unwrap()).unwrap();
            socket.close(how);
        })
        .await;
        let client = server.polling_connected().await;
        client.post("42[\"go\"]").await;
        let expected: Vec<&str> = std::iter::once("42[\"last\"]").chain(last).collect();
        assert_eq!(packets(&client, expected.len()).await, expected);
        // The end comes alone, after all else: as a close packet, or so that every client comes back.
        let answer = client.poll().await;
        assert_eq!((answer.status, answer.body == "1"), (end, end == 200), "{answer:?}");
        assert_eq!(client.poll().await.status, 400);
    }
}

#[tokio::test]
async fn a_response_carries_no_more_than_every_client_takes() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    let events: Vec<String> = (0..40).map(|n| format!("42[\"n\",{n}]")).collect();
    client.post(&events.join("\x1e")).await;
    let mut seen = Vec::new();
    while seen.len() < events.len() {
        let body = client.poll().await.body;
        let before = seen.len();
        seen.extend(body.split('\x1e').map(str::to_owned));
        assert!(seen.len() - before <= 16, "{body}");
    }
    assert_eq!(seen, events);
}

#[tokio::test]
async fn the_heartbeat_keeps_and_ends_a_session() {
    let settings = Config {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(500),
        ..config()
    };
    let server = serve(settings, echo).await;
    let client = server.polling_connected().await;
    for _ in 0..3 {
        assert_eq!(client.poll().await.body, "2");
        client.post("3").await;
    }
    assert_eq!(client.poll().await.body, "2");
    until("it is gone", || server.io.sockets() == 0).await;
    assert_eq!(client.poll().await.status, 400);
}

#[tokio::test]
async fn output_that_nobody_polls_for_closes_the_session() {
    let server = serve(Config { stall_timeout: Duration::from_millis(100), ..config() }, echo).await;
    let client = server.polling_connected().await;
    client.post("42[\"a\"]").await;
    until("it is gone", || server.io.sockets() == 0).await;
    assert_eq!(client.poll().await.status, 400);
}

#[tokio::test]
async fn an_application_that_is_behind_holds_the_post() {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let settings = Config {
        inbound_events: 2,
        ping_interval: Duration::from_millis(20),
        ping_timeout: Duration::from_millis(60),
        ..config()
    };
    let server = serve(settings, move |mut socket, _| {
        let gate = gate.clone();
        async move {
            socket.accept(None).unwrap();
            gate.notified().await;
            while let Some(incoming) = socket.recv().await {
                if let Incoming::Event(event) = incoming {
                    socket.send(&Packet::event(&event.name, &event.args).unwrap()).unwrap();
                }
            }
        }
    })
    .await;
    let client = server.polling_connected().await;
    let events: Vec<String> = (0..8).map(|n| format!("42[\"n\",{n}]")).collect();
    let mut post = client.begin("POST", &format!("{}\x1e3", events.join("\x1e"))).await;
    // Longer than a ping takes to time out: its pong lies behind the events, unread by our own doing.
    let wait = tokio::time::timeout(Duration::from_millis(300), post_answer(&mut post)).await;
    assert!(wait.is_err(), "the post was answered while the application was behind");
    assert_eq!(server.io.sockets(), 1);
    go.notify_one();
    assert_eq!(within("the post", finish(post)).await.body, "ok");
    let mut seen: Vec<String> = Vec::new();
    while seen.len() < 8 {
        let answer = client.poll().await;
        assert_eq!(answer.status, 200);
        seen.extend(answer.body.split('\x1e').filter(|p| p.starts_with("42")).map(str::to_owned));
    }
    assert_eq!(seen, events);
}

async fn post_answer(post: &mut tokio::net::TcpStream) {
    let mut byte = [0];
    post.peek(&mut byte).await.unwrap();
}
