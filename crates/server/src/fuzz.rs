//! What strangers can make the server read, as plain functions of bytes: for the fuzz targets in `fuzz/` and for the test
//! that runs the same functions for a moment on every change. None may panic, whatever the bytes.

use crate::input::{
    Attach, Query, check_batch, clean_json, halves, read_ack, read_batch, read_edit, read_mark,
    read_original, read_send, read_sync, read_ttl,
};
use tidings_domain::{Cursor, NotificationId, Timestamp, UserId};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// As the server takes them by default.
const ATTACHMENTS: usize = 10;

/// A function of bytes.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also the name of its corpus in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("body", body),
    ("attach", attach),
    ("cursor", cursor),
    ("query", query),
    ("packet", packet),
    ("payload", payload),
];

/// The JSON bodies of HTTP and of socket events.
pub fn body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = halves::replace(text);
    if check_batch(text.as_bytes()).is_ok() {
        let _ = read_batch(&text).map(|batch| batch.items().count());
    }
    let Ok(text) = clean_json(&text) else { return };
    for draft in
        [read_send(&text), read_original(&text)].into_iter().flatten().flat_map(|draft| draft.at(NOW))
    {
        assert!(!draft.to.0.is_empty(), "a send to nobody");
        assert!(draft.content.check().is_ok(), "a content past its limits");
        assert!(
            serde_json::from_str::<serde_json::Value>(draft.content.data.get()).is_ok(),
            "strict parsers read it"
        );
    }
    let _ = read_edit(&text, NOW);
    let _ = (read_mark(&text), read_ack(&text), read_sync(&text), read_ttl(&text));
}

/// The `auth` of a CONNECT and the argument of `register_user`.
pub fn attach(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(text) = clean_json(text) {
        let _ = (Attach::from_auth(&text), Attach::from_argument(&text));
    }
}

/// Cursors, ids and times.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor), "a cursor has one meaning");
    }
    if let Some(id) = NotificationId::parse(text) {
        assert_eq!(NotificationId::parse(&id.to_string()), Some(id), "an id has one meaning");
    }
    if let Some(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time), "a time has one meaning");
    }
    let _ = UserId::new(text);
}

/// The parameters of a URL.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut query = Query::of(Some(text));
    let asked = query.inbox();
    if query.finish().is_ok() {
        assert!((1..=100).contains(&asked.limit), "a page without bounds");
    }
}

/// A Socket.IO packet.
pub fn packet(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(packet) = tidings_socketio::decode(text, ATTACHMENTS)
    {
        let again = tidings_socketio::encode(&packet);
        assert!(
            tidings_socketio::decode(&again, ATTACHMENTS).is_ok(),
            "what was read can be written and read again"
        );
    }
}

/// A polling body.
pub fn payload(bytes: &[u8]) {
    if let Ok(packets) = tidings_socketio::decode_payload(bytes) {
        let again = tidings_socketio::encode_payload(&packets);
        assert!(
            tidings_socketio::decode_payload(again.as_bytes()).is_ok(),
            "what was read can be written and read again"
        );
    }
}
