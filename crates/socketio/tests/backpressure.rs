//! Clients that do not read, and applications that do not.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{config, send, serve, until, within};
use futures_util::StreamExt;
use tidings_socketio::{CloseReason, Config, Connect, Incoming, Packet, SendError, Socket};
use tokio::sync::{Notify, mpsc};

/// What the operating system takes of unread output differs, but not beyond this.
const MUCH: usize = 64 * 1024 * 1024;

async fn fill(socket: &Socket, packet: &Packet) -> usize {
    let mut sent = 0;
    for _ in 0..MUCH / packet.len() {
        match socket.send(packet) {
            Ok(_) => sent += 1,
            Err(SendError::Full) => {
                // The transport may just not have had its turn yet, or not all of it.
                let waited = tokio::time::timeout(Duration::from_millis(300), socket.ready()).await;
                if waited.is_err() && socket.send(packet) == Err(SendError::Full) {
                    return sent;
                }
                sent += usize::from(waited.is_err());
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the queue never filled");
}

#[tokio::test]
async fn a_client_that_does_not_read_fills_the_queue_and_loses_nothing() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = serve(config(), move |mut socket: Socket, _: Connect| {
        let tell = tell.clone();
        async move {
            socket.accept(None).unwrap();
            let packet = Packet::event("fill", &("x".repeat(8_000),)).unwrap();
            let sent = fill(&socket, &packet).await;
            let queued = socket.queued_bytes();
            assert!((65_536..65_536 + packet.len()).contains(&queued), "{queued}");
            tell.send(sent).unwrap();
            within("room", socket.ready()).await;
            assert!(socket.queued_bytes() <= 32_768);
            send(&socket, &Packet::event("end", &()).unwrap()).await.unwrap();
            while socket.recv().await.is_some() {}
        }
    })
    .await;
    let mut client = server.connected().await;
    let sent = within("the queue to fill", told.recv()).await.unwrap();
    let mut read = 0;
    while client.text().await != "42[\"end\"]" {
        read += 1;
    }
    assert_eq!(read, sent);
}

async fn send_until_an_error(socket: &Socket, packet: &Packet) -> SendError {
    for _ in 0..MUCH / packet.len() {
        if let Err(error) = send(socket, packet).await {
            return error;
        }
        assert!(socket.queued_bytes() < 65_536 + packet.len());
    }
    panic!("everything was taken");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let settings = Config { stall_timeout: Duration::from_millis(500), ..config() };
    let server = serve(settings, move |mut socket: Socket, _: Connect| {
        let tell = tell.clone();
        async move {
            socket.accept(None).unwrap();
            let packet = Packet::event("fill", &("x".repeat(8_000),)).unwrap();
            assert_eq!(send_until_an_error(&socket, &packet).await, SendError::Closed);
            assert!(socket.recv().await.is_none());
            tell.send(socket.close_reason()).unwrap();
        }
    })
    .await;
    let client = server.connected().await;
    assert_eq!(within("its end", told.recv()).await, Some(Some(CloseReason::Stalled)));
    until("it is gone", || server.io.sockets() == 0).await;
    drop(client);
}

/// One large packet, taken more slowly than the stall timeout allows for the whole of it.
#[tokio::test]
async fn progress_within_one_packet_is_progress() {
    let settings = Config { stall_timeout: Duration::from_millis(400), ..config() };
    let size = 24 * 1024 * 1024;
    let server = serve(settings, move |mut socket: Socket, _: Connect| async move {
        socket.accept(None).unwrap();
        socket.send(&Packet::event("large", &("x".repeat(size),)).unwrap()).unwrap();
        while socket.recv().await.is_some() {}
    })
    .await;
    let mut client = server.connected().await;
    // Reading raw, a piece at a time. The pause is the slowness under test, not a wait for something.
    let stream = client.ws.get_mut();
    let mut piece = vec![0; 1024 * 1024];
    let mut read = 0;
    let begun = std::time::Instant::now();
    // The client's own buffer took some of it before.
    while read < size - 1024 * 1024 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let n = within("a piece", tokio::io::AsyncReadExt::read(stream, &mut piece)).await.unwrap();
        assert!(n > 0, "closed after {read} bytes");
        read += n;
    }
    assert!(begun.elapsed() > Duration::from_millis(800));
    assert_eq!(server.io.sockets(), 1);
}

#[tokio::test]
async fn an_application_that_is_behind_stops_the_reading_and_not_the_connection() {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let settings = Config {
        ping_interval: Duration::from_millis(20),
        ping_timeout: Duration::from_millis(60),
        inbound_events: 4,
        ..config()
    };
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = serve(settings, move |mut socket: Socket, _| {
        let (gate, tell) = (gate.clone(), tell.clone());
        async move {
            socket.accept(None).unwrap();
            gate.notified().await;
            let mut count = 0;
            while count < 2_000 {
                match socket.recv().await {
                    Some(Incoming::Event(event)) => {
                        assert_eq!(event.args[0].get(), count.to_string());
                        count += 1;
                    }
                    Some(Incoming::Receipt(_)) => {}
                    Some(Incoming::Upgraded) => {}
                    None => break,
                }
            }
            tell.send((count, socket.close_reason())).unwrap();
            while socket.recv().await.is_some() {}
        }
    })
    .await;
    let client = server.connected().await;
    let (mut sink, mut stream) = client.ws.split();
    // Sends more than the kernel and the queue take together, and answers pings as they come.
    let sending = tokio::spawn(async move {
        use futures_util::SinkExt;
        use tokio_tungstenite::tungstenite::Message;
        let filler = "x".repeat(20_000);
        for n in 0..2_000 {
            sink.send(Message::text(format!("42[\"n\",{n},\"{filler}\"]"))).await.unwrap();
            sink.send(Message::text("3")).await.unwrap();
        }
        sink
    });
    let reading = tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
    // Many ping timeouts long nothing is read, so no pong either.
    let early = tokio::time::timeout(Duration::from_millis(500), told.recv()).await;
    assert!(early.is_err());
    assert!(!sending.is_finished(), "everything was read although the application was behind");
    assert_eq!(server.io.sockets(), 1);
    go.notify_one();
    assert_eq!(within("all events", told.recv()).await, Some((2_000, None)));
    drop(sending.await.unwrap());
    reading.abort();
}

/// Takes no events until it is told to, and meanwhile sends and hears of what arrived.
async fn busy_elsewhere(
    mut socket: Socket,
    go: Arc<Notify>,
    receipts: mpsc::UnboundedSender<u64>,
    events: mpsc::UnboundedSender<String>,
) {
    socket.accept(None).unwrap();
    socket.send(&Packet::event("read me", &()).unwrap()).unwrap();
    socket.want_receipt(Duration::ZERO);
    loop {
        tokio::select! {
            incoming = socket.recv_without_events() => match incoming {
                Some(Incoming::Receipt(position)) => receipts.send(position).unwrap(),
                Some(Incoming::Upgraded) => {}
                other => panic!("neither receipt nor upgrade: {other:?}"),
            },
            () = go.notified() => break,
        }
    }
    while let Some(incoming) = socket.recv().await {
        if let Incoming::Event(event) = incoming {
            events.send(event.args[0].get().to_owned()).unwrap();
        }
    }
}

#[tokio::test]
async fn receipts_come_while_events_wait() {
    let go = Arc::new(Notify::new());
    let (receipts, mut received) = mpsc::unbounded_channel();
    let (events, mut took) = mpsc::unbounded_channel();
    let gate = go.clone();
    let server = serve(Config { inbound_events: 4, ..config() }, move |socket, _| {
        busy_elsewhere(socket, gate.clone(), receipts.clone(), events.clone())
    })
    .await;
    let mut client = server.connected().await;
    assert_eq!(client.text().await, "42[\"read me\"]");
    assert_eq!(client.text().await, "2");
    for n in 0..3 {
        client.send(&format!("42[\"n\",{n}]")).await;
    }
    client.send("3").await;
    for n in 3..500 {
        client.send(&format!("42[\"n\",{n}]")).await;
    }
    assert_eq!(within("the receipt", received.recv()).await, Some(1));
    assert!(took.try_recv().is_err());
    // What it sent before it said goodbye is still to come.
    client.send("41").await;
    go.notify_one();
    for n in 0..500 {
        assert_eq!(within("an event", took.recv()).await, Some(n.to_string()));
    }
    drop(client);
    until("it is gone", || server.io.sockets() == 0).await;
}

/// A page is left right after it sent what it had to say, and the server has something to say to it meanwhile.
#[tokio::test]
async fn what_a_client_sent_before_it_vanished_is_still_taken() {
    let go = Arc::new(Notify::new());
    let (events, mut took) = mpsc::unbounded_channel();
    let gate = go.clone();
    let server = serve(config(), move |mut socket: Socket, _| {
        let (gate, events) = (gate.clone(), events.clone());
        async move {
            socket.accept(None).unwrap();
            gate.notified().await;
            while let Some(incoming) = socket.recv().await {
                let Incoming::Event(event) = incoming else { continue };
                events.send(event.args[0].get().to_owned()).unwrap();
                let _ = socket.send(&Packet::event("did it", &event.args).unwrap());
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let mut client = server.connected().await;
    for n in 0..500 {
        client.send(&format!("42[\"n\",{n}]")).await;
    }
    drop(client);
    go.notify_one();
    for n in 0..500 {
        assert_eq!(within("an event", took.recv()).await, Some(n.to_string()));
    }
    until("it is gone", || server.io.sockets() == 0).await;
}

/// The client goes by the server's pings too: without any it would take the server for dead.
#[tokio::test]
async fn a_client_that_is_not_listened_to_is_pinged_on() {
    let go = Arc::new(Notify::new());
    let (receipts, _received) = mpsc::unbounded_channel();
    let (events, mut took) = mpsc::unbounded_channel();
    let gate = go.clone();
    let settings = Config {
        ping_interval: Duration::from_millis(20),
        ping_timeout: Duration::from_millis(60),
        inbound_events: 4,
        ..config()
    };
    let server = serve(settings, move |socket, _| {
        busy_elsewhere(socket, gate.clone(), receipts.clone(), events.clone())
    })
    .await;
    let mut client = server.connected().await;
    for n in 0..8 {
        client.send(&format!("42[\"n\",{n}]")).await;
    }
    assert_eq!(client.text().await, "42[\"read me\"]");
    for _ in 0..10 {
        assert_eq!(client.text().await, "2");
        client.send("3").await;
    }
    go.notify_one();
    for n in 0..8 {
        assert_eq!(within("an event", took.recv()).await, Some(n.to_string()));
    }
    // It is kept by its pongs again.
    for _ in 0..10 {
        assert_eq!(client.text().await, "2");
        client.send("3").await;
    }
    assert_eq!(server.io.sockets(), 1);
}

#[tokio::test]
async fn asking_for_namespaces_without_reading_does_not_fill_memory() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    let server = serve(config(), common::echo).await;
    let mut client = server.connected().await;
    let ask = format!("40/{}", "n".repeat(60_000));
    within("the end", async { while client.ws.send(Message::text(ask.as_str())).await.is_ok() {} }).await;
    until("it is gone", || server.io.sockets() == 0).await;
}
