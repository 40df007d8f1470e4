//! From polling to a websocket.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod common;

use std::time::Duration;

use common::{Client, Polling, config, echo, finish, send, serve, until, within};
use tidings_socketio::{Config, Connect, Incoming, Packet, Socket, Transport};

async fn upgraded(client: &Polling) -> Client {
    let mut ws = client.server.websocket_for(&client.sid).await;
    ws.send("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws.send("5").await;
    ws
}

#[tokio::test]
async fn the_websocket_takes_over() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    let held = client.begin("GET", "").await;
    let mut ws = server.websocket_for(&client.sid).await;
    ws.send("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    assert_eq!(within("the held poll", finish(held)).await.body, "6");
    assert_eq!(client.poll().await.body, "6", "polls are not held any more");
    ws.send("5").await;
    ws.send("42[\"hello\"]").await;
    assert_eq!(ws.text().await, "42[\"hello\"]");
    // Polling is over for this session, and harms it no more.
    assert_eq!(client.poll().await.status, 400);
    assert_eq!(client.post("42[\"x\"]").await.status, 400);
    ws.send("42[\"still\"]").await;
    assert_eq!(ws.text().await, "42[\"still\"]");
    assert_eq!(server.io.sockets(), 1);
}

#[tokio::test]
async fn the_application_hears_of_it_once() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = serve(config(), move |mut socket: Socket, _: Connect| {
        let tell = tell.clone();
        async move {
            let _ = socket.accept(None);
            while let Some(incoming) = socket.recv().await {
                if matches!(incoming, Incoming::Upgraded) {
                    let _ = tell.send(socket.transport());
                }
            }
        }
    })
    .await;
    let client = server.polling_connected().await;
    let _ws = upgraded(&client).await;
    assert_eq!(within("the word of it", told.recv()).await, Some(Transport::Websocket));
    // One that was a websocket from its beginning hears nothing.
    let mut direct = server.connected().await;
    direct.send("42[\"x\"]").await;
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn what_was_queued_goes_out_on_the_websocket() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    client.post("42[\"one\"]\x1e42[\"two\"]").await;
    let mut ws = upgraded(&client).await;
    assert_eq!(ws.text().await, "42[\"one\"]");
    assert_eq!(ws.text().await, "42[\"two\"]");
}

#[tokio::test]
async fn a_second_upgrade_closes_the_newcomer_only() {
    let server = serve(config(), echo).await;
    let client = server.polling_connected().await;
    let mut first = server.websocket_for(&client.sid).await;
    first.send("2probe").await;
    assert_eq!(first.text().await, "3probe");
    let mut second = server.websocket_for(&client.sid).await;
    second.ends().await;
    first.send("5").await;
    let mut third = server.websocket_for(&client.sid).await;
    third.ends().await;
    first.send("42[\"hello\"]").await;
    assert_eq!(first.text().await, "42[\"hello\"]");
}

#[tokio::test]
async fn after_a_failed_upgrade_polling_goes_on() {
    let server = serve(Config { upgrade_timeout: Duration::from_millis(100), ..config() }, echo).await;
    let client = server.polling_connected().await;

    let mut wrong = server.websocket_for(&client.sid).await;
    wrong.send("42[\"early\"]").await;
    wrong.ends().await;

    let mut silent = server.websocket_for(&client.sid).await;
    silent.ends().await;

    let mut halfway = server.websocket_for(&client.sid).await;
    halfway.send("2probe").await;
    assert_eq!(halfway.text().await, "3probe");
    drop(halfway);

    within("polling is held again", async {
        loop {
            client.post("42[\"on\"]").await;
            if client.poll().await.body.contains("42[\"on\"]") {
                break;
            }
        }
    })
    .await;
    let mut ws = loop {
        let mut ws = server.websocket_for(&client.sid).await;
        ws.send("2probe").await;
        if ws.next().await.is_some() {
            ws.send("5").await;
            break ws;
        }
    };
    ws.send("42[\"done\"]").await;
    while ws.text().await != "42[\"done\"]" {}
}

#[tokio::test]
async fn an_unknown_session_cannot_upgrade() {
    let server = serve(config(), echo).await;
    let url =
        format!("ws://{}/socket.io/?EIO=4&transport=websocket&sid=abcdefghijklmnopqrst", server.address);
    assert!(tokio_tungstenite::connect_async(url).await.is_err());
}

/// The task that kept the polling session leaves while the websocket's begins; neither may miss its wake-up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_after_a_quiet_upgrade_goes_out_at_once() {
    let (tell, mut sockets) = tokio::sync::mpsc::unbounded_channel();
    let server = serve(config(), move |mut socket, _| {
        socket.accept(None).unwrap();
        tell.send(socket).unwrap();
        async {}
    })
    .await;
    for _ in 0..200 {
        let client = server.polling_connected().await;
        let socket = within("the socket", sockets.recv()).await.unwrap();
        let mut ws = upgraded(&client).await;
        until("the switch", || socket.transport() == Transport::Websocket).await;
        socket.send(&Packet::event("hello", &()).unwrap()).unwrap();
        assert_eq!(ws.text().await, "42[\"hello\"]");
    }
}

/// Both sides send all the time while the transport changes under them.
#[tokio::test]
async fn nothing_is_lost_doubled_or_reordered() {
    const COUNT: usize = 400;
    for round in 0..8 {
        let server = serve(config(), |mut socket, _| async move {
            socket.accept(None).unwrap();
            let mut next = 0;
            check(socket.recv().await.expect("the first event"), &mut next);
            for n in 0..COUNT {
                send(&socket, &Packet::event("n", &(n,)).unwrap()).await.unwrap();
                if n % 7 == 0 {
                    tokio::task::yield_now().await;
                }
                while let Ok(Some(incoming)) = tokio::time::timeout(Duration::ZERO, socket.recv()).await {
                    check(incoming, &mut next);
                }
            }
            while next < COUNT {
                check(socket.recv().await.expect("more events"), &mut next);
            }
            assert_eq!(socket.transport(), Transport::Websocket);
            send(&socket, &Packet::event("all", &()).unwrap()).await.unwrap();
            socket.recv().await;
        })
        .await;
        let client = server.polling_connected().await;

        // A client polls and posts until its websocket is probed, waits for what is under way and then switches.
        let mut seen = Vec::new();
        let mut sent = 0;
        let mut take =
            |body: &str| seen.extend(body.split('\x1e').filter(|p| p.starts_with("42")).map(str::to_owned));
        for _ in 0..round {
            client.post(&format!("42[\"c\",{sent}]\x1e42[\"c\",{}]", sent + 1)).await;
            sent += 2;
            take(&client.poll().await.body);
        }
        let held = client.begin("GET", "").await;
        let mut ws = server.websocket_for(&client.sid).await;
        ws.send("2probe").await;
        client.post(&format!("42[\"c\",{sent}]")).await;
        sent += 1;
        assert_eq!(ws.text().await, "3probe");
        take(&within("the held poll", finish(held)).await.body);
        ws.send("5").await;
        for n in sent..COUNT {
            ws.send(&format!("42[\"c\",{n}]")).await;
        }
        loop {
            match ws.text().await.as_str() {
                "42[\"all\"]" => break,
                "2" => ws.send("3").await,
                event => take(event),
            }
        }
        let expected: Vec<String> = (0..COUNT).map(|n| format!("42[\"n\",{n}]")).collect();
        let wrong = expected.iter().zip(&seen).position(|(e, s)| e != s);
        assert_eq!((seen.len(), wrong), (COUNT, None), "round {round}");
        drop(ws);
        until("it is gone", || server.io.sockets() == 0).await;
    }
}

fn check(incoming: tidings_socketio::Incoming, next: &mut usize) {
    if let tidings_socketio::Incoming::Event(event) = incoming {
        assert_eq!(event.args[0].get(), next.to_string());
        *next += 1;
    }
}
