//! Socket.IO over a websocket.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{config, echo, serve, until, within};
use futures_util::SinkExt;
use serde_json::json;
use tidings_socketio::{AckError, Close, CloseReason, Config, Incoming, Packet, ParseError, Socket};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

#[tokio::test]
async fn events_answers_and_binary_come_back() {
    let server = serve(config(), echo).await;
    let mut client = server.connected().await;
    for text in
        [r#"42["message",1,"2",{"3":[true]}]"#, r#"42["é","\u0000"]"#, r#"421["asks",1]"#, r#"4256["a"]"#]
    {
        client.send(text).await;
    }
    assert_eq!(client.text().await, r#"42["message",1,"2",{"3":[true]}]"#);
    assert_eq!(client.text().await, r#"42["é","\u0000"]"#);
    assert_eq!(client.text().await, "431[1]");
    assert_eq!(client.text().await, "4356[]");

    let binary = r#"452-["b",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    client.send(binary).await;
    client.send_binary(&[1, 2, 3]).await;
    client.send_binary(&[]).await;
    assert_eq!(client.text().await, binary);
    assert_eq!(client.next().await, Some(Message::binary(&[1u8, 2, 3][..])));
    assert_eq!(client.next().await, Some(Message::binary(&[][..])));

    client.send(r#"451-7["b",{"_placeholder":true,"num":0}]"#).await;
    client.send_binary(&[9]).await;
    assert_eq!(client.text().await, r#"461-7[{"_placeholder":true,"num":0}]"#);
    assert_eq!(client.next().await, Some(Message::binary(&[9u8][..])));
}

#[tokio::test]
async fn long_messages_go_both_ways() {
    let server = serve(config(), echo).await;
    let mut client = server.connected().await;
    let long = format!(r#"42["long","{}é"]"#, "x".repeat(60_000));
    client.send(&long).await;
    client.send(r#"42["after"]"#).await;
    assert_eq!(client.text().await, long);
    assert_eq!(client.text().await, r#"42["after"]"#);
}

#[tokio::test]
async fn a_message_may_come_in_fragments() {
    let server = serve(config(), echo).await;
    let mut client = server.connected().await;
    let parts: [(&str, Data); 3] =
        [("42[\"fr", Data::Text), ("agm", Data::Continue), ("ent\"]", Data::Continue)];
    for (n, (part, kind)) in parts.into_iter().enumerate() {
        let frame = Frame::message(Bytes::from(part), OpCode::Data(kind), n == 2);
        client.ws.send(Message::Frame(frame)).await.unwrap();
    }
    assert_eq!(client.text().await, r#"42["fragment"]"#);
}

/// Reports why each socket ended.
async fn reasons(settings: Config) -> (common::Server, mpsc::UnboundedReceiver<CloseReason>) {
    let (tell, told) = mpsc::unbounded_channel();
    let server = serve(settings, move |mut socket: Socket, _| {
        let tell = tell.clone();
        async move {
            socket.accept(None).unwrap();
            while socket.recv().await.is_some() {}
            tell.send(socket.close_reason().unwrap()).unwrap();
        }
    })
    .await;
    (server, told)
}

#[tokio::test]
async fn what_is_not_the_protocol_closes_that_connection() {
    use ParseError as E;
    let (server, mut told) = reasons(config()).await;
    let mut bystander = server.connected().await;
    let attachments = format!("4511-[\"x\"{}]", ",1".repeat(11));
    for (text, error) in [
        ("abc", E::UnknownType),
        ("0{}", E::UnknownType),
        ("", E::Empty),
        ("2", E::OutOfTurn),
        ("5", E::OutOfTurn),
        ("4", E::Empty),
        ("4abc", E::UnknownType),
        ("42{}", E::Payload),
        ("42", E::Payload),
        ("42abc[\"x\"]", E::Payload),
        ("42[\"connect\"]", E::EventName),
        ("42[\"newListener\"]", E::EventName),
        ("42[1e999999,[", E::Payload),
        ("43[]", E::AckId),
        ("44{}", E::OutOfTurn),
        ("40", E::OutOfTurn),
        ("42/foo,[\"x\"]", E::OutOfTurn),
        (&attachments, E::Attachments),
        ("4599999999999-[\"x\"]", E::Attachments),
    ] {
        let mut client = server.connected().await;
        client.send(text).await;
        client.ends().await;
        let reason = within("the reason", told.recv()).await;
        assert_eq!(reason, Some(CloseReason::ParseError(error)), "{text}");
    }
    bystander.send("3").await;
    until("only the bystander is left", || server.io.sockets() == 1).await;
}

#[tokio::test]
async fn attachments_and_text_have_their_turn() {
    let (server, mut told) = reasons(Config { max_assembled_bytes: 100, ..config() }).await;
    let header = r#"452-["b",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;

    let mut client = server.connected().await;
    client.send(header).await;
    client.send("42[\"text\"]").await;
    client.ends().await;
    assert_eq!(told.recv().await, Some(CloseReason::ParseError(ParseError::OutOfTurn)));

    let mut client = server.connected().await;
    client.send_binary(&[1]).await;
    client.ends().await;
    assert_eq!(told.recv().await, Some(CloseReason::ParseError(ParseError::OutOfTurn)));

    let mut client = server.connected().await;
    client.send(header).await;
    client.send_binary(&[0; 20]).await;
    client.send_binary(&[0; 20]).await;
    client.ends().await;
    assert_eq!(told.recv().await, Some(CloseReason::ParseError(ParseError::TooLarge)));
}

#[tokio::test]
async fn a_message_beyond_the_limit_closes_whole_or_in_fragments() {
    let (server, mut told) = reasons(Config { max_packet_bytes: 1_000, ..config() }).await;
    let mut client = server.connected().await;
    let long = format!("42[\"{}\"]", "x".repeat(1_000));
    let _ = client.ws.send(Message::text(long)).await;
    assert_eq!(told.recv().await, Some(CloseReason::ParseError(ParseError::TooLarge)));

    let mut client = server.connected().await;
    for n in 0..200 {
        let kind = if n == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(Bytes::from_static(&[b'4'; 10]), OpCode::Data(kind), false);
        if client.ws.send(Message::Frame(frame)).await.is_err() {
            break;
        }
    }
    assert_eq!(told.recv().await, Some(CloseReason::ParseError(ParseError::TooLarge)));
}

/// Requests a websocket and sends these bytes behind.
async fn raw(server: &common::Server, bytes: &[u8]) -> tokio::net::TcpStream {
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\n\
        upgrade: WebSocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(&[request.as_bytes(), bytes].concat()).await.unwrap();
    stream
}

#[tokio::test]
async fn hostile_frames_close_that_connection() {
    use tokio::io::AsyncReadExt;
    let server = serve(config(), echo).await;
    let noise: Vec<u8> = (0..4_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let long_ping = [&b"\x89\xfe\x00\x7e"[..], &[0; 130]].concat();
    let frames: [&[u8]; 8] = [
        b"\x81\x0240",                                       // not masked
        b"\xc1\x82\x00\x00\x00\x0040",                       // reserved bit
        b"\x83\x82\x00\x00\x00\x0040",                       // unknown type
        b"\x80\x82\x00\x00\x00\x0040",                       // continues nothing
        b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", // endless
        &long_ping,
        b"\x81\x82\x00\x00\x00\x004\xff", // not UTF-8
        &noise,
    ];
    for frame in frames {
        let mut stream = raw(&server, frame).await;
        let mut answer = Vec::new();
        // It may end in a reset, since not all was read.
        let _ = within("the end", stream.read_to_end(&mut answer)).await;
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{frame:?}");
    }
    until("all are gone", || server.io.sockets() == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_its_handshake_is_forgotten() {
    let server = serve(config(), echo).await;
    for _ in 0..20 {
        drop(raw(&server, b"").await);
    }
    until("all are gone", || server.io.sockets() == 0).await;
}

/// Buffers are given back at pings, so with very many pings; no byte may go with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trimming_buffers_loses_nothing() {
    let settings = Config { ping_interval: Duration::from_millis(1), ..config() };
    let server = serve(settings, echo).await;
    for upgraded in [false, true] {
        let mut client = if upgraded {
            let polling = server.polling().await;
            let mut ws = server.websocket_for(&polling.sid).await;
            ws.send("2probe").await;
            assert_eq!(ws.text().await, "3probe");
            ws.send("5").await;
            ws.send("40").await;
            while !ws.text().await.starts_with("40") {}
            ws
        } else {
            let mut ws = server.websocket().await;
            ws.send("40").await;
            while !ws.text().await.starts_with("40") {}
            ws
        };
        for round in 0..120u32 {
            let size = round.wrapping_mul(2_654_435_761) as usize % 9_000;
            let event = format!("42[\"e\",{round},\"{}\"]", "x".repeat(size));
            match round % 4 {
                0 if round < 80 => {
                    client.ws.send(Message::Ping(Bytes::from_static(b"payload"))).await.unwrap()
                }
                1 if round > 100 => {
                    // Written in two pieces, with time for pings between them.
                    let (head, tail) = event.split_at(event.len() / 2);
                    for (part, kind, last) in [(head, Data::Text, false), (tail, Data::Continue, true)] {
                        let frame = Frame::message(Bytes::from(part.to_owned()), OpCode::Data(kind), last);
                        client.ws.send(Message::Frame(frame)).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
                _ => {}
            }
            if round % 4 != 1 || round <= 100 {
                client.send(&event).await;
            }
            loop {
                let text = client.text().await;
                if text == "2" {
                    client.send("3").await;
                } else {
                    assert_eq!(text, event);
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn an_event_before_the_connect_closes() {
    let server = serve(config(), echo).await;
    for text in ["42[\"x\"]", "41", "431[]"] {
        let mut client = server.websocket().await;
        client.send(text).await;
        client.ends().await;
    }
}

#[tokio::test]
async fn other_namespaces_are_refused_and_leave_the_connection() {
    let server = serve(config(), echo).await;
    let mut client = server.websocket().await;
    client.send("40/foo,{\"a\":1}").await;
    assert_eq!(client.text().await, "44/foo,{\"message\":\"Invalid namespace\"}");
    client.send("40").await;
    assert!(client.text().await.starts_with("40{"));
    client.send("40/bar").await;
    assert_eq!(client.text().await, "44/bar,{\"message\":\"Invalid namespace\"}");
    client.send("42[\"x\"]").await;
    assert_eq!(client.text().await, "42[\"x\"]");
}

#[tokio::test]
async fn a_connect_may_be_refused() {
    let server = serve(
        Config { handshake_timeout: Duration::from_millis(300), ..config() },
        |socket, connect| async move {
            let auth = connect.auth.unwrap();
            socket.refuse("no", Some(&json!({ "auth": auth })));
        },
    )
    .await;
    let mut client = server.websocket().await;
    client.send("40{\"token\":\"t\"}").await;
    assert_eq!(client.text().await, r#"44{"message":"no","data":{"auth":{"token":"t"}}}"#);
    // One that does not leave is closed.
    client.ends().await;
    until("it is gone", || server.io.sockets() == 0).await;
}

#[tokio::test]
async fn the_answer_to_connect_carries_the_pid_and_comes_first() {
    let server = serve(config(), |mut socket, _| async move {
        assert!(socket.send(&Packet::event("early", &()).unwrap()).is_err());
        socket.accept(Some("device")).unwrap();
        socket.accept(None).unwrap();
        socket.send(&Packet::event("first", &()).unwrap()).unwrap();
        socket.recv().await;
    })
    .await;
    let mut client = server.websocket().await;
    client.send("40").await;
    let answer: serde_json::Value = serde_json::from_str(&client.text().await[2..]).unwrap();
    assert_eq!(answer["pid"], "device");
    assert_eq!(answer["sid"].as_str().unwrap().len(), 20);
    assert_eq!(client.text().await, "42[\"first\"]");
}

#[tokio::test]
async fn events_that_come_before_the_answer_are_kept() {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let server = serve(config(), move |socket, connect| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            echo(socket, connect).await;
        }
    })
    .await;
    let mut client = server.websocket().await;
    client.send("40").await;
    for n in 0..10 {
        client.send(&format!("42[\"n\",{n}]")).await;
    }
    go.notify_one();
    assert!(client.text().await.starts_with("40"));
    for n in 0..10 {
        assert_eq!(client.text().await, format!("42[\"n\",{n}]"));
    }
}

#[tokio::test]
async fn the_client_disconnects() {
    let (server, mut told) =
        reasons(Config { handshake_timeout: Duration::from_millis(200), ..config() }).await;
    let mut client = server.connected().await;
    client.send("42[\"last\"]").await;
    client.send("41").await;
    assert_eq!(told.recv().await, Some(CloseReason::ClientDisconnect));
    // Official clients close the transport themselves; this one does not.
    client.ends().await;

    let mut client = server.connected().await;
    client.send("1").await;
    client.ends().await;
    assert_eq!(told.recv().await, Some(CloseReason::TransportClosed));

    let client = server.connected().await;
    drop(client);
    assert_eq!(told.recv().await, Some(CloseReason::TransportClosed));
    until("all are gone", || server.io.sockets() == 0).await;
}

#[tokio::test]
async fn the_server_ends_the_socket() {
    let server = serve(config(), |mut socket, _| async move {
        socket.accept(None).unwrap();
        let Some(Incoming::Event(event)) = socket.recv().await else { panic!("an event") };
        socket.send(&Packet::event("last", &()).unwrap()).unwrap();
        match event.name.as_str() {
            "disconnect-me" => socket.close(Close::Disconnect),
            "close-me" => socket.close(Close::Transport),
            _ => {}
        }
        assert!(event.name == "drop-me" || socket.recv().await.is_none());
    })
    .await;
    for (event, packet) in [("disconnect-me", Some("41")), ("close-me", None), ("drop-me", None)] {
        let mut client = server.connected().await;
        client.send(&format!("42[\"{event}\"]")).await;
        assert_eq!(client.text().await, "42[\"last\"]");
        if let Some(packet) = packet {
            assert_eq!(client.text().await, packet);
        }
        client.ends().await;
    }
    until("all are gone", || server.io.sockets() == 0).await;
}

#[tokio::test]
async fn the_server_asks_the_client() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = serve(Config { pending_acks: 1, ..config() }, move |mut socket: Socket, _| {
        let tell = tell.clone();
        async move {
            socket.accept(None).unwrap();
            let brief = Duration::from_millis(20);
            let (first, second) = tokio::join!(
                socket.emit_with_ack("q", &(1,), Duration::from_secs(10)),
                socket.emit_with_ack("q", &(2,), Duration::from_secs(10)),
            );
            tell.send(first.map(|args| serde_json::to_string(&args).unwrap())).unwrap();
            assert_eq!(second.unwrap_err(), AckError::Full);
            let silent = socket.emit_with_ack("silent", &(), brief).await;
            tell.send(silent.map(|args| serde_json::to_string(&args).unwrap())).unwrap();
            let gone = socket.emit_with_ack("leave", &(), Duration::from_secs(10)).await;
            tell.send(gone.map(|args| serde_json::to_string(&args).unwrap())).unwrap();
        }
    })
    .await;
    let mut client = server.connected().await;
    assert_eq!(client.text().await, "420[\"q\",1]");
    client.send("43999[\"to nothing\"]").await;
    client.send("430[\"yes\",{\"a\":1}]").await;
    client.send("430[\"twice\"]").await;
    assert_eq!(told.recv().await.unwrap().unwrap(), r#"["yes",{"a":1}]"#);
    let silent = client.text().await;
    assert!(silent.ends_with("[\"silent\"]"), "{silent}");
    assert_eq!(told.recv().await.unwrap().unwrap_err(), AckError::Timeout);
    client.text().await;
    drop(client);
    assert_eq!(told.recv().await.unwrap().unwrap_err(), AckError::Closed);
}

#[tokio::test]
async fn the_heartbeat_keeps_and_ends_a_connection() {
    let settings = Config {
        ping_interval: Duration::from_millis(40),
        ping_timeout: Duration::from_millis(400),
        ..config()
    };
    let (server, mut told) = reasons(settings).await;
    let mut client = server.connected().await;
    for _ in 0..3 {
        assert_eq!(client.text().await, "2");
        client.send("3").await;
    }
    assert_eq!(client.text().await, "2");
    client.ends().await;
    assert_eq!(told.recv().await, Some(CloseReason::PingTimeout));
}
