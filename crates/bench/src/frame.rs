//! As much of Engine.IO 4 and Socket.IO 5 as a device needs, read without decoding the JSON: the load generator shares
//! the processor with what it measures.

/// A packet, by what a device does about it.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Engine.IO's first packet.
    Open,
    /// To be answered with a pong.
    Ping,
    /// The namespace is connected.
    Connected,
    /// The namespace is refused, with the reason as JSON.
    Refused(&'a str),
    /// An event; `json` is the whole array.
    Event { name: &'a str, json: &'a str },
    /// The answer to an event of ours; `json` is the array of its arguments.
    Answer(&'a str),
    /// The server ends the session.
    Closed,
    /// Nothing that a device of this client needs.
    Other,
}

/// A place in an inbox, as the last argument of every event names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor<'a> {
    pub epoch: &'a str,
    pub rev: u64,
}

impl<'a> Packet<'a> {
    pub fn parse(text: &'a str) -> Self {
        match text.as_bytes() {
            [b'2', ..] => Self::Ping,
            [b'0', ..] => Self::Open,
            [b'1', ..] | [b'4', b'1', ..] => Self::Closed,
            [b'4', b'0', ..] => Self::Connected,
            [b'4', b'4', ..] => Self::Refused(&text[2..]),
            [b'4', b'2', ..] => event(without_id(&text[2..])).unwrap_or(Self::Other),
            [b'4', b'3', ..] => Self::Answer(without_id(&text[2..])),
            _ => Self::Other,
        }
    }
}

fn event(json: &str) -> Option<Packet<'_>> {
    let name = json.strip_prefix("[\"")?.split('"').next()?;
    Some(Packet::Event { name, json })
}

fn without_id(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii_digit())
}

/// The last argument of an event, when it is a cursor: `…,"epoch:rev"]`. An epoch needs no escapes. While a resume is under
/// way, the server may add `;` and text of its own.
pub fn cursor(json: &str) -> Option<Cursor<'_>> {
    let (_, text) = json.strip_suffix("\"]")?.rsplit_once('"')?;
    let place = text.split_once(';').map_or(text, |(place, _)| place);
    let (epoch, rev) = place.rsplit_once(':')?;
    Some(Cursor { epoch, rev: rev.parse().ok()? })
}

/// The `prev` of an event. It stands behind whatever the sender wrote, so the last one is the server's.
pub fn prev(json: &str) -> Option<u64> {
    const KEY: &str = "\"prev\":";
    number(&json[json.rfind(KEY)? + KEY.len()..]).map(|(prev, _)| prev)
}

/// The number that a text begins with, and what follows it.
pub fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart() {
        assert_eq!(Packet::parse(r#"0{"sid":"x"}"#), Packet::Open);
        assert_eq!(Packet::parse("2"), Packet::Ping);
        assert_eq!(Packet::parse(r#"40{"sid":"x","pid":"y"}"#), Packet::Connected);
        assert_eq!(Packet::parse(r#"44{"message":"no"}"#), Packet::Refused(r#"{"message":"no"}"#));
        assert_eq!(Packet::parse(r#"430[{"ok":true}]"#), Packet::Answer(r#"[{"ok":true}]"#));
        assert_eq!(Packet::parse("41"), Packet::Closed);
        let json = r#"["inbox_ready",{},"e:0"]"#;
        assert_eq!(Packet::parse(&format!("42{json}")), Packet::Event { name: "inbox_ready", json });
        assert_eq!(Packet::parse(&format!("4217{json}")), Packet::Event { name: "inbox_ready", json });
    }

    #[test]
    fn whatever_a_server_sends_is_taken() {
        for text in
            ["", "4", "42", "42[", "42[\"", "42{}", "43", "é", "4é", "42é", "451-[\"x\"]", "9", "42[\"\u{0}"]
        {
            let _ = Packet::parse(text);
            let _ = (cursor(text), prev(text), number(text));
        }
    }

    #[test]
    fn the_cursor_is_the_last_argument() {
        let json = r#"["send_notification",{"message":"a:1"},{"prev":3},"9f-1:4"]"#;
        assert_eq!(cursor(json), Some(Cursor { epoch: "9f-1", rev: 4 }));
        assert_eq!(cursor(r#"["x",{},"9f-1:4;12:9"]"#), Some(Cursor { epoch: "9f-1", rev: 4 }));
        for json in
            ["", "[]", r#"["x"]"#, r#"["x","e:"]"#, r#"["x","e:1",{}]"#, r#"["x","e:18446744073709551616"]"#]
        {
            assert_eq!(cursor(json), None, "{json}");
        }
    }

    #[test]
    fn the_prev_is_the_servers_not_the_senders() {
        let json = r#"["send_notification",{"data":{"prev":9}},{"prev":3,"unread":1},"e:4"]"#;
        assert_eq!(prev(json), Some(3));
        assert_eq!(prev(r#"["x",{"prev":null}]"#), None);
    }
}
