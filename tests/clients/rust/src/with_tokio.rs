use crate::{Told, Wanted, answered, heard, say};
use futures_util::FutureExt as _;
use rust_socketio::asynchronous::{Client, ClientBuilder, ReconnectSettings};
use rust_socketio::{Event, Payload};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const ANSWER_LIMIT: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
pub async fn run(url: &str, clients: Vec<Wanted>) {
    let mut sockets = HashMap::new();
    for wanted in clients {
        let auth = Arc::new(Mutex::new(wanted.auth.clone()));
        sockets.insert(wanted.name.clone(), (connect(url, wanted, auth.clone()).await, auth));
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.expect("UTF-8") {
        let Told { client, id, event, args, auth } = Told::parse(&line);
        if !auth.is_null() {
            *sockets[&client].1.lock().expect("no holder panics") = auth;
            continue;
        }
        let name = client.clone();
        let answer = move |payload, _| {
            say(&json!({ "client": name, "answer": id, "args": answered(payload) }));
            async {}.boxed()
        };
        let _ = sockets[&client].0.emit_with_ack(event, Payload::Text(args), ANSWER_LIMIT, answer).await;
    }
}

async fn connect(url: &str, Wanted { name, transport, auth }: Wanted, next: Arc<Mutex<Value>>) -> Client {
    let mut builder =
        ClientBuilder::new(url).transport_type(transport).auth(auth).reconnect_on_disconnect(true);
    builder = builder.on_reconnect(move || {
        let mut settings = ReconnectSettings::new();
        settings.auth(next.lock().expect("no holder panics").clone());
        async { settings }.boxed()
    });
    for event in [Event::Connect, Event::Close, Event::Error] {
        let (name, shown) = (name.clone(), event.clone());
        builder = builder.on(event, move |payload, _| {
            heard(&name, &shown, payload);
            async {}.boxed()
        });
    }
    let any = move |event: Event, payload, _| {
        heard(&name, &event, payload);
        async {}.boxed()
    };
    builder.on_any(any).connect().await.expect("the server is up")
}
