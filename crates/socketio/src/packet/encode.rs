//! Writes Socket.IO packets.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{AckId, Body, RESERVED_EVENTS, WirePacket};
use crate::EncodeError;

/// Writes a packet as one text message, without the Engine.IO packet type before it.
pub fn encode(packet: &WirePacket<'_>) -> String {
    let binary = packet.attachments.is_some();
    let kind = match &packet.body {
        Body::Connect { .. } => '0',
        Body::Disconnect => '1',
        Body::Event { .. } if binary => '5',
        Body::Event { .. } => '2',
        Body::Ack { .. } if binary => '6',
        Body::Ack { .. } => '3',
        Body::ConnectError { .. } => '4',
    };
    let mut text = String::from(kind);
    if let Some(count) = packet.attachments {
        text.push_str(&count.to_string());
        text.push('-');
    }
    if packet.namespace != "/" {
        text.push_str(packet.namespace);
        text.push(',');
    }
    match &packet.body {
        Body::Connect { auth } => text.push_str(auth.as_deref().map_or("", RawValue::get)),
        Body::Disconnect => {}
        Body::Event { name, args, ack } => {
            if let Some(id) = ack {
                text.push_str(&id.0.to_string());
            }
            let name = if is_number(name) { name.clone() } else { json_string(name) };
            push_list(&mut text, Some(&name), args);
        }
        Body::Ack { id, args } => {
            text.push_str(&id.0.to_string());
            push_list(&mut text, None, args);
        }
        Body::ConnectError { data } => text.push_str(data.get()),
    }
    text
}

fn push_list(text: &mut String, first: Option<&str>, args: &[Box<RawValue>]) {
    text.push('[');
    for (n, part) in first.into_iter().chain(args.iter().map(|a| a.get())).enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(part);
    }
    text.push(']');
}

/// A name that came as a number goes out as one.
fn is_number(name: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(name).is_ok()
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `["name",…]` behind `42`, or behind `45n-` when binary, with the number of the question if there is one. The
/// leading `4` makes it an Engine.IO message, so that these very bytes go to the wire.
pub(crate) fn event_text(
    name: &str,
    args: &impl Serialize,
    attachments: usize,
    ack: Option<AckId>,
) -> Result<String, EncodeError> {
    if RESERVED_EVENTS.contains(&name) {
        return Err(EncodeError::Name);
    }
    let args = arguments(args)?;
    let mut text = head('2', '5', attachments, ack);
    text.push('[');
    text.push_str(&json_string(name));
    if args != "[]" {
        text.push(',');
    }
    text.push_str(args.get(1..).ok_or(EncodeError::NotAnArray)?);
    Ok(text)
}

/// `43id[…]`, or `46n-id[…]` when binary.
pub(crate) fn ack_text(id: AckId, args: &impl Serialize, attachments: usize) -> Result<String, EncodeError> {
    let args = arguments(args)?;
    Ok(head('3', '6', attachments, Some(id)) + &args)
}

fn head(text: char, binary: char, attachments: usize, ack: Option<AckId>) -> String {
    let mut head = String::from('4');
    if attachments == 0 {
        head.push(text);
    } else {
        head.push(binary);
        head.push_str(&attachments.to_string());
        head.push('-');
    }
    if let Some(AckId(id)) = ack {
        head.push_str(&id.to_string());
    }
    head
}

/// The unit value means no arguments; everything else has to be an array.
fn arguments(args: &impl Serialize) -> Result<String, EncodeError> {
    let json = serde_json::to_string(args).map_err(|_| EncodeError::Json)?;
    let json = json.trim();
    match json.as_bytes().first() {
        Some(b'[') => Ok(json.to_owned()),
        Some(b'n') => Ok("[]".to_owned()),
        _ => Err(EncodeError::NotAnArray),
    }
}

#[derive(Serialize)]
struct Connected<'a> {
    sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
}

/// The answer to CONNECT.
pub(crate) fn connected_text(sid: &str, pid: Option<&str>) -> Result<String, EncodeError> {
    Ok("40".to_owned() + &serde_json::to_string(&Connected { sid, pid }).map_err(|_| EncodeError::Json)?)
}

#[derive(Serialize)]
struct Refusal<'a, T> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a T>,
}

/// The refusal of CONNECT.
pub(crate) fn connect_error_text(
    message: &str,
    data: Option<&impl Serialize>,
) -> Result<String, EncodeError> {
    let json = serde_json::to_string(&Refusal { message, data }).map_err(|_| EncodeError::Json)?;
    Ok("44".to_owned() + &json)
}

/// The refusal of any namespace but `/`.
pub(crate) fn invalid_namespace_text(namespace: &str) -> String {
    format!("44{namespace},{{\"message\":\"Invalid namespace\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_answers() {
        assert_eq!(event_text("a\"b", &(1, "x"), 0, None).unwrap(), r#"42["a\"b",1,"x"]"#);
        assert_eq!(event_text("a", &(), 0, Some(AckId(7))).unwrap(), r#"427["a"]"#);
        assert_eq!(event_text("a", &[0; 0], 2, Some(AckId(7))).unwrap(), r#"452-7["a"]"#);
        assert_eq!(ack_text(AckId(3), &("x",), 0).unwrap(), r#"433["x"]"#);
        assert_eq!(ack_text(AckId(3), &[0; 0], 1).unwrap(), "461-3[]");
        let raw: Box<RawValue> = serde_json::from_str(" [1, 2] ").unwrap();
        assert_eq!(ack_text(AckId(3), &raw, 0).unwrap(), "433[1, 2]");
    }

    #[test]
    fn what_is_no_list_of_arguments_is_refused() {
        assert_eq!(event_text("a", &"x", 0, None), Err(EncodeError::NotAnArray));
        assert_eq!(event_text("a", &serde_json::json!({}), 0, None), Err(EncodeError::NotAnArray));
        assert_eq!(event_text("disconnect", &(), 0, None), Err(EncodeError::Name));
    }

    #[test]
    fn the_answers_to_connect() {
        assert_eq!(connected_text("s", None).unwrap(), r#"40{"sid":"s"}"#);
        assert_eq!(connected_text("s", Some("p")).unwrap(), r#"40{"sid":"s","pid":"p"}"#);
        assert_eq!(connect_error_text("no", None::<&()>).unwrap(), r#"44{"message":"no"}"#);
        assert_eq!(connect_error_text("no", Some(&[1])).unwrap(), r#"44{"message":"no","data":[1]}"#);
        assert_eq!(invalid_namespace_text("/foo"), r#"44/foo,{"message":"Invalid namespace"}"#);
    }
}
