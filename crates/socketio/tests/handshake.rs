//! From the first request to the CONNECT.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod common;

use std::time::Duration;

use common::{config, echo, serve, until};
use serde_json::json;
use tidings_socketio::{ClientAddress, Config, Origins, SocketIo};

#[tokio::test]
async fn the_open_packet_announces_the_settings() {
    let server = serve(config(), echo).await;
    let answer = server.request("GET", "EIO=4&transport=polling", "", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.has("content-type: text/plain; charset=utf-8"), "{}", answer.head);
    assert!(answer.has("cache-control: no-store"));
    let mut open: serde_json::Value = serde_json::from_str(answer.body.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(open["sid"].take().as_str().unwrap().len(), 20);
    assert_eq!(
        open,
        json!({"sid": null, "upgrades": ["websocket"], "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 65536})
    );

    let mut client = server.websocket_for("").await;
    let open = client.text().await;
    assert!(open.contains("\"upgrades\":[]"), "{open}");
}

#[tokio::test]
async fn the_path_is_served_with_and_without_a_slash() {
    let server = serve(config(), echo).await;
    for path in ["/socket.io", "/socket.io/"] {
        let stream = server.begin("GET", &format!("{path}?EIO=4&transport=polling"), "", "").await;
        assert_eq!(common::finish(stream).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_the_protocol_is_refused_in_its_words() {
    let server = serve(config(), echo).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    for (method, query, headers, code, message) in [
        ("GET", "EIO=4", "", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=abc", "", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=abc", "", 1, "Session ID unknown"),
        ("GET", "EIO=4&transport=polling&sid=abcdefghijklmnopqrst", "", 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling", "", 2, "Bad handshake method"),
        ("PUT", "EIO=4&transport=polling", "", 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", "", 3, "Bad request"),
        ("GET", "EIO=4&transport=websocket", upgrade, 3, "Bad request"),
        ("GET", "transport=polling", "", 5, "Unsupported protocol version"),
        ("GET", "EIO=3&transport=polling", "", 5, "Unsupported protocol version"),
    ] {
        let answer = server.request(method, query, headers, "").await;
        assert_eq!(answer.status, 400, "{method} {query}");
        assert_eq!(answer.json(), json!({"code": code, "message": message}), "{method} {query}");
    }
    assert_eq!(server.io.sockets(), 0);
}

/// A client that offers subprotocols gives up unless one is chosen.
#[tokio::test]
async fn the_first_subprotocol_offered_is_chosen() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let server = serve(config(), echo).await;
    let polling = server.polling_connected().await;
    for sid in [String::new(), format!("&sid={}", polling.sid)] {
        for (offered, chosen) in [("chat, superchat", Some("chat")), (" , v1", Some("v1")), ("", None)] {
            let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket{sid}", server.address);
            let mut request = url.into_client_request().unwrap();
            if !offered.is_empty() {
                request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
            }
            let (_, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
            let got = answer.headers().get("sec-websocket-protocol").map(|name| name.to_str().unwrap());
            assert_eq!(got, chosen, "{offered:?} {sid}");
        }
    }
}

#[tokio::test]
async fn a_page_elsewhere_is_refused_on_both_transports() {
    let server = serve(Config { origins: Origins::loopback(), ..config() }, echo).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for (transport, headers) in [("polling", ""), ("websocket", upgrade)] {
        let query = format!("EIO=4&transport={transport}");
        let answer =
            server.request("GET", &query, &format!("{headers}origin: https://evil.test\r\n"), "").await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json(), json!({"code": 4, "message": "Forbidden"}));
    }
    let answer = server.request("GET", "EIO=4&transport=polling", "origin: http://localhost:1\r\n", "").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_session_without_connect_is_closed() {
    let server = serve(Config { handshake_timeout: Duration::from_millis(50), ..config() }, echo).await;
    let mut websocket = server.websocket().await;
    let polling = server.polling().await;
    websocket.ends().await;
    until("both are gone", || server.io.sockets() == 0).await;
    assert_eq!(polling.poll().await.status, 400);
}

#[tokio::test]
async fn a_full_server_says_so() {
    let server = serve(Config { max_sockets: 2, ..config() }, echo).await;
    let first = server.connected().await;
    let second = server.polling().await;
    let answer = server.request("GET", "EIO=4&transport=polling", "", "").await;
    assert_eq!(answer.status, 503);
    assert!(answer.has("retry-after: 1"));
    drop(first);
    until("a place is free", || server.io.sockets() == 1).await;
    server.connected().await;
    drop(second);
}

#[tokio::test]
async fn an_address_has_its_share() {
    let limits = Config { max_sockets_per_address: 1, limit_loopback: true, ..config() };
    let server = serve(limits.clone(), echo).await;
    let first = server.connected().await;
    let answer = server.request("GET", "EIO=4&transport=polling", "", "").await;
    assert_eq!(answer.status, 429);
    assert!(answer.has("retry-after: 1"));
    drop(first);
    until("it is free again", || server.io.sockets() == 0).await;
    server.polling().await;

    let server = serve(Config { limit_loopback: false, ..limits }, echo).await;
    server.polling().await;
    server.polling().await;
}

#[tokio::test]
async fn a_proxy_may_tell_the_address() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let io = SocketIo::new(Config { max_sockets_per_address: 1, ..config() }, move |_socket, connect| {
        tell.send((connect.peer, connect.query, connect.headers)).unwrap();
        async {}
    });
    let address = ClientAddress("203.0.113.7".parse().unwrap());
    let app = io.router::<()>().layer(axum::Extension(address));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = common::Server { address: listener.local_addr().unwrap(), io };
    tokio::spawn(async move { axum::serve(listener, app).await });

    let answer = server.request("GET", "EIO=4&transport=polling&a=b", "x-mine: yes\r\n", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(server.request("GET", "EIO=4&transport=polling", "", "").await.status, 429);
    let open: serde_json::Value = serde_json::from_str(&answer.body[1..]).unwrap();
    let client = common::Polling { sid: open["sid"].as_str().unwrap().to_owned(), server };
    client.post("40").await;
    let (peer, query, headers) = told.recv().await.unwrap();
    assert_eq!(peer, Some("203.0.113.7:0".parse().unwrap()));
    assert_eq!(query, "EIO=4&transport=polling&a=b");
    assert_eq!(headers["x-mine"], "yes");
}

#[tokio::test]
async fn a_crowd_is_let_in_by_and_by() {
    let server = serve(Config { max_handshakes_per_second: 3, ..config() }, echo).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(server.request("GET", "EIO=4&transport=polling", "", "").await.status);
    }
    // The five requests may straddle two seconds on a busy machine, but four never pass.
    assert!(statuses.iter().filter(|&&s| s == 200).count() >= 3, "{statuses:?}");
    assert!(statuses.contains(&503), "{statuses:?}");
}

#[tokio::test]
async fn a_request_too_large_to_keep_is_refused() {
    let server = serve(config(), echo).await;
    let headers = format!("x-large: {}\r\n", "a".repeat(20_000));
    assert_eq!(server.request("GET", "EIO=4&transport=polling", &headers, "").await.status, 431);
}
