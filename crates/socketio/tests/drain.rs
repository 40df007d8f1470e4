//! Going down.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod common;

use std::time::{Duration, Instant};

use common::{config, echo, serve, within};

#[tokio::test]
async fn everybody_is_sent_away_bit_by_bit() {
    let server = serve(config(), echo).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(server.connected().await);
    }
    let polling = server.polling_connected().await;
    let begun = Instant::now();
    let over = Duration::from_millis(1_000);
    let io = server.io.clone();
    let drained = tokio::spawn(async move { io.drain(over).await });
    let mut ends = Vec::new();
    for mut client in clients {
        ends.push(tokio::spawn(async move {
            // No DISCONNECT packet: official clients take this for a lost connection and come back.
            client.ends().await;
            Instant::now()
        }));
    }
    within("a refusal", async {
        loop {
            let answer = server.request("GET", "EIO=4&transport=polling", "", "").await;
            if answer.status == 503 {
                assert!(answer.has("retry-after: 1"));
                break;
            }
        }
    })
    .await;
    assert_eq!(polling.poll().await.status, 400);
    let mut times = Vec::new();
    for end in ends {
        times.push(within("its end", end).await.unwrap() - begun);
    }
    times.sort();
    within("the drain", drained).await.unwrap();
    assert!(begun.elapsed() >= times[9]);
    assert!(times[9] - times[0] >= over / 2, "not spread: {times:?}");
    assert_eq!(server.io.sockets(), 0);
}

#[tokio::test]
async fn an_empty_server_is_drained_at_once() {
    let server = serve(config(), echo).await;
    within("the drain", server.io.drain(Duration::from_secs(3_600))).await;
}
