//! What proves that a packet arrived, and what does not.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod common;

use std::time::Duration;

use common::{Server, config, serve, within};
use tidings_socketio::{Config, Connect, Incoming, Packet, Socket};
use tokio::sync::mpsc;

/// Sends a packet for every event `send`, wants a receipt for it at once, and reports receipts.
async fn reporting(settings: Config) -> (Server, mpsc::UnboundedReceiver<u64>) {
    let (tell, told) = mpsc::unbounded_channel();
    let server = serve(settings, move |mut socket: Socket, _: Connect| {
        let tell = tell.clone();
        async move {
            socket.accept(None).unwrap();
            while let Some(incoming) = socket.recv().await {
                match incoming {
                    Incoming::Event(event) => {
                        assert!(
                            socket.received()
                                <= socket.send(&Packet::event("p", &event.args).unwrap()).unwrap()
                        );
                        socket.want_receipt(Duration::from_millis(10));
                    }
                    Incoming::Receipt(position) => {
                        assert_eq!(socket.received(), position);
                        tell.send(position).unwrap();
                    }
                    Incoming::Upgraded => {}
                }
            }
        }
    })
    .await;
    (server, told)
}

#[tokio::test]
async fn the_pong_of_an_early_ping_proves() {
    let (server, mut told) = reporting(config()).await;
    let mut client = server.connected().await;
    client.send("42[\"send\"]").await;
    assert_eq!(client.text().await, "42[\"p\"]");
    assert_eq!(client.text().await, "2");
    client.send("3").await;
    assert_eq!(within("the receipt", told.recv()).await, Some(1));
}

#[tokio::test]
async fn a_withheld_or_unasked_pong_proves_nothing() {
    let (server, mut told) = reporting(config()).await;
    let mut client = server.connected().await;
    client.send("3").await;
    client.send("42[\"send\"]").await;
    client.send("3").await;
    assert_eq!(client.text().await, "42[\"p\"]");
    assert_eq!(client.text().await, "2");
    // The ping stays unanswered; what follows is answered by nothing either.
    client.send("42[\"send\"]").await;
    assert_eq!(client.text().await, "42[\"p\"]");
    assert!(told.try_recv().is_err());
    // Its pong proves what went before it and no more; a ping of its own follows for the rest.
    client.send("3").await;
    assert_eq!(within("the first receipt", told.recv()).await, Some(1));
    assert_eq!(client.text().await, "2");
    client.send("3").await;
    assert_eq!(within("the second receipt", told.recv()).await, Some(2));
}

#[tokio::test]
async fn the_regular_heartbeat_proves_too() {
    let settings = Config { ping_interval: Duration::from_millis(50), ..config() };
    let server = serve(settings, |mut socket: Socket, _| async move {
        socket.accept(None).unwrap();
        socket.send(&Packet::event("p", &()).unwrap()).unwrap();
        let Some(Incoming::Receipt(1)) = socket.recv().await else { panic!("a receipt") };
        socket.send(&Packet::event("got it", &()).unwrap()).unwrap();
        socket.recv().await;
    })
    .await;
    let mut client = server.connected().await;
    assert_eq!(client.text().await, "42[\"p\"]");
    assert_eq!(client.text().await, "2");
    client.send("3").await;
    assert_eq!(client.text().await, "42[\"got it\"]");
}

#[tokio::test]
async fn on_polling_the_next_poll_proves() {
    let (server, mut told) = reporting(config()).await;
    let client = server.polling_connected().await;
    client.post("42[\"send\"]").await;
    assert_eq!(client.poll().await.body, "42[\"p\"]");
    assert!(told.try_recv().is_err(), "the response was written, which proves nothing");
    let held = client.begin("GET", "").await;
    assert_eq!(within("the receipt", told.recv()).await, Some(1));
    client.post("42[\"send\"]").await;
    assert_eq!(within("the held poll", common::finish(held)).await.body, "42[\"p\"]");
    assert!(told.try_recv().is_err());
    drop(client.begin("GET", "").await);
}

#[tokio::test]
async fn on_polling_a_part_of_the_queue_is_proven_as_a_part() {
    let (server, mut told) = reporting(Config { inbound_events: 100, ..config() }).await;
    let client = server.polling_connected().await;
    let held = client.begin("GET", "").await;
    client.post(&vec!["42[\"send\"]"; 40].join("\x1e")).await;
    let mut proven = 0;
    let mut seen = within("the held poll", common::finish(held)).await.body.split('\x1e').count() as u64;
    loop {
        let next = client.begin("GET", "").await;
        let receipt = within("a receipt", told.recv()).await.unwrap();
        assert!(receipt > proven && receipt == seen, "{receipt} proven of {seen} seen");
        proven = receipt;
        if seen == 40 {
            break;
        }
        seen += within("the next poll", common::finish(next)).await.body.split('\x1e').count() as u64;
    }
}

#[tokio::test]
async fn a_receipt_wanted_on_polling_is_got_after_the_upgrade() {
    let (server, mut told) = reporting(config()).await;
    let client = server.polling_connected().await;
    client.post("42[\"send\"]").await;
    let mut ws = server.websocket_for(&client.sid).await;
    ws.send("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws.send("5").await;
    assert_eq!(ws.text().await, "42[\"p\"]");
    assert_eq!(ws.text().await, "2");
    ws.send("3").await;
    assert_eq!(within("the receipt", told.recv()).await, Some(1));
}
