use crate::{Told, Wanted, answered, heard, say};
use rust_socketio::client::Client;
use rust_socketio::{ClientBuilder, Event, Payload};
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;

const ANSWER_LIMIT: Duration = Duration::from_secs(30);

pub fn run(url: &str, clients: Vec<Wanted>) {
    let sockets: HashMap<String, Client> =
        clients.into_iter().map(|wanted| (wanted.name.clone(), connect(url, wanted))).collect();
    for line in std::io::stdin().lines() {
        let told = Told::parse(&line.expect("UTF-8"));
        let Told { client, id, event, args, .. } = told;
        let name = client.clone();
        let answer =
            move |payload, _| say(&json!({ "client": name, "answer": id, "args": answered(payload) }));
        let _ = sockets[&client].emit_with_ack(event, Payload::Text(args), ANSWER_LIMIT, answer);
    }
}

fn connect(url: &str, Wanted { name, transport, auth }: Wanted) -> Client {
    let mut builder =
        ClientBuilder::new(url).transport_type(transport).auth(auth).reconnect_on_disconnect(true);
    for event in [Event::Connect, Event::Close, Event::Error] {
        let (name, shown) = (name.clone(), event.clone());
        builder = builder.on(event, move |payload, _| heard(&name, &shown, payload));
    }
    builder
        .on_any(move |event, payload, _| heard(&name, &event, payload))
        .connect()
        .expect("the server is up")
}
