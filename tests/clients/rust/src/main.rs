//! rust_socketio, with threads or with Tokio; see ../../agents/agent.js for what it takes and prints. The first argument is
//! `sync` or `async`.

mod with_threads;
mod with_tokio;

use rust_socketio::{Event, Payload, TransportType};
use serde_json::{Value, json};
use std::io::Write as _;

/// One line of the output.
fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the test reads");
}

fn heard(client: &str, event: &Event, payload: Payload) {
    say(&json!({ "client": client, "event": event.as_str(), "args": values(payload) }));
}

fn values(payload: Payload) -> Vec<Value> {
    match payload {
        Payload::Text(values) => values,
        _ => Vec::new(),
    }
}

/// The arguments of an answer, which this client hands over as one array.
fn answered(payload: Payload) -> Vec<Value> {
    match values(payload).pop() {
        Some(Value::Array(values)) => values,
        other => other.into_iter().collect(),
    }
}

/// A client as the test describes it.
struct Wanted {
    name: String,
    transport: TransportType,
    auth: Value,
}

impl Wanted {
    fn all(text: &str) -> Vec<Self> {
        let all: Vec<Value> = serde_json::from_str(text).expect("a JSON array of clients");
        all.into_iter()
            .map(|one| Self {
                name: text_of(&one, "name"),
                transport: transport(&one),
                auth: one["auth"].clone(),
            })
            .collect()
    }
}

fn text_of(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}")).to_owned()
}

fn transport(client: &Value) -> TransportType {
    match client["transports"].as_array().map(Vec::as_slice) {
        Some([one]) if one == "websocket" => TransportType::Websocket,
        Some([one]) if one == "polling" => TransportType::Polling,
        _ => TransportType::Any,
    }
}

/// A line of the input: an event to emit, or an `auth` to attach with from now on.
struct Told {
    client: String,
    id: Value,
    event: String,
    args: Vec<Value>,
    auth: Value,
}

impl Told {
    fn parse(line: &str) -> Self {
        let told: Value = serde_json::from_str(line).expect("a JSON object");
        let args = told["args"].as_array().cloned().unwrap_or_default();
        let event = told["emit"].as_str().unwrap_or_default().to_owned();
        Self {
            client: text_of(&told, "client"),
            id: told["id"].clone(),
            event,
            args,
            auth: told["auth"].clone(),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, url, clients] = arguments.as_slice() else { panic!("usage: agent sync|async URL CLIENTS") };
    let clients = Wanted::all(clients);
    match kind.as_str() {
        "sync" => with_threads::run(url, clients),
        _ => with_tokio::run(url, clients),
    }
}
