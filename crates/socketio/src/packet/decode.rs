//! Reads a Socket.IO packet.

use serde_json::value::RawValue;

use super::{AckId, RESERVED_EVENTS};
use crate::ParseError;

/// The most arguments of one event or answer. Each costs its own allocation, so that a packet full of `1,1,1` would
/// otherwise cost many times its size.
pub const MAX_ARGUMENTS: usize = 256;

/// A packet as it stands in one text message, attachments still to come.
#[derive(Clone, Debug)]
pub struct WirePacket<'a> {
    /// `/` or what the packet names.
    pub namespace: &'a str,
    /// How many binary messages follow; `None` if the packet is not of a binary type.
    pub attachments: Option<usize>,
    /// What it says.
    pub body: Body,
}

/// What a packet says, by type.
#[derive(Clone, Debug)]
pub enum Body {
    /// `0`
    Connect {
        /// Credentials, a JSON object.
        auth: Option<Box<RawValue>>,
    },
    /// `1`
    Disconnect,
    /// `2` and `5`
    Event {
        /// The first element. A number is allowed, as in the official parser, and is kept as its JSON text.
        name: String,
        /// The other elements.
        args: Vec<Box<RawValue>>,
        /// Set if an answer is asked for.
        ack: Option<AckId>,
    },
    /// `3` and `6`
    Ack {
        /// Which question this answers.
        id: AckId,
        /// The answer.
        args: Vec<Box<RawValue>>,
    },
    /// `4`
    ConnectError {
        /// A JSON object or string.
        data: Box<RawValue>,
    },
}

/// Reads one text message, without the Engine.IO packet type before it.
pub fn decode(text: &str, max_attachments: usize) -> Result<WirePacket<'_>, ParseError> {
    let kind = *text.as_bytes().first().ok_or(ParseError::Empty)?;
    if !kind.is_ascii_digit() || kind > b'6' {
        return Err(ParseError::UnknownType);
    }
    let mut rest = text.get(1..).ok_or(ParseError::UnknownType)?;

    let attachments = if matches!(kind, b'5' | b'6') {
        let (count, after) = rest.split_once('-').ok_or(ParseError::Attachments)?;
        rest = after;
        let count = number(count).and_then(|n| usize::try_from(n).ok()).ok_or(ParseError::Attachments)?;
        if count > max_attachments {
            return Err(ParseError::Attachments);
        }
        Some(count)
    } else {
        None
    };

    let mut namespace = "/";
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
    }

    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (id, data) = rest.split_at(digits);
    let id = if id.is_empty() { None } else { Some(AckId(number(id).ok_or(ParseError::AckId)?)) };
    if id.is_some() && matches!(kind, b'0' | b'1' | b'4') {
        return Err(ParseError::AckId);
    }

    let body = match kind {
        b'0' if data.is_empty() => Body::Connect { auth: None },
        b'0' => Body::Connect { auth: Some(json(data, b"{")?) },
        b'1' if data.is_empty() => Body::Disconnect,
        b'1' => return Err(ParseError::Payload),
        b'4' => Body::ConnectError { data: json(data, b"{\"")? },
        b'3' | b'6' => Body::Ack { id: id.ok_or(ParseError::AckId)?, args: array(data)? },
        _ => {
            let mut args = array(data)?;
            if args.is_empty() {
                return Err(ParseError::EventName);
            }
            Body::Event { name: event_name(args.remove(0).get())?, args, ack: id }
        }
    };
    Ok(WirePacket { namespace, attachments, body })
}

/// Decimal digits and nothing else: `parse` alone would take a plus sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn json(text: &str, first: &[u8]) -> Result<Box<RawValue>, ParseError> {
    let value: Box<RawValue> = serde_json::from_str(text).map_err(|_| ParseError::Payload)?;
    let begins = value.get().as_bytes().first();
    begins.is_some_and(|b| first.contains(b)).then_some(value).ok_or(ParseError::Payload)
}

fn array(text: &str) -> Result<Vec<Box<RawValue>>, ParseError> {
    let args: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| ParseError::Payload)?;
    if args.len() > MAX_ARGUMENTS {
        return Err(ParseError::TooLarge);
    }
    Ok(args.into_iter().map(ToOwned::to_owned).collect())
}

fn event_name(json: &str) -> Result<String, ParseError> {
    match json.as_bytes().first() {
        Some(b'"') => {
            let name: String = serde_json::from_str(json).map_err(|_| ParseError::EventName)?;
            if RESERVED_EVENTS.contains(&name.as_str()) { Err(ParseError::EventName) } else { Ok(name) }
        }
        Some(b'-' | b'0'..=b'9') => Ok(json.to_owned()),
        _ => Err(ParseError::EventName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::encode;

    fn again(text: &str) -> String {
        encode(&decode(text, 10).unwrap())
    }

    #[test]
    fn every_type_is_read_and_written_the_same() {
        for text in [
            "0",
            "0{\"token\":\"1\"}",
            "0/admin,",
            "0/admin,{\"a\":1}",
            "1",
            "1/admin,",
            "2[\"hey\"]",
            "212[\"hey\",{\"a\":[null]}]",
            "2/admin,456[\"hey\"]",
            "312[]",
            "3/a,7[1,\"x\"]",
            "4{\"message\":\"no\"}",
            "4/a,\"no\"",
            "51-[\"hey\",{\"_placeholder\":true,\"num\":0}]",
            "52-/a,9[\"x\"]",
            "61-9[{\"_placeholder\":true,\"num\":0}]",
        ] {
            assert_eq!(again(text), text);
        }
        assert_eq!(again("0/admin"), "0/admin,");
        assert_eq!(again("0/,{}"), "0{}");
    }

    #[test]
    fn a_number_may_name_an_event() {
        let Body::Event { name, .. } = decode("2[1.5,true]", 0).unwrap().body else { panic!("not an event") };
        assert_eq!(name, "1.5");
    }

    #[test]
    fn malformed_packets() {
        let error = |text: &str| decode(text, 10).unwrap_err();
        assert_eq!(error(""), ParseError::Empty);
        for text in ["abc", "7", "9[]", "é", "-1"] {
            assert_eq!(error(text), ParseError::UnknownType, "{text}");
        }
        for text in [
            "2{}",
            "2",
            "2abc[\"x\"]",
            "2[",
            "2[\"x\"]]",
            "0[]",
            "01",
            "0{",
            "1{}",
            "3{}",
            "4",
            "4[]",
            "2\"x\"",
        ] {
            assert!(decode(text, 10).is_err(), "{text}");
        }
        for text in ["2[]", "2[null]", "2[{}]", "2[\"connect\"]", "2[\"disconnecting\"]", "2[true]"] {
            assert_eq!(error(text), ParseError::EventName, "{text}");
        }
        for text in [
            "5[\"x\"]",
            "5-[\"x\"]",
            "5a-[\"x\"]",
            "511-[\"x\"]",
            "5+1-[\"x\"]",
            "599999999999999999999-[\"x\"]",
        ] {
            assert_eq!(error(text), ParseError::Attachments, "{text}");
        }
        assert_eq!(error("299999999999999999999[\"x\"]"), ParseError::AckId);
        assert_eq!(error("3[]"), ParseError::AckId);
        assert_eq!(error(&format!("2[\"x\"{}]", ",1".repeat(MAX_ARGUMENTS))), ParseError::TooLarge);
        // Deep nesting is walked without recursion.
        assert!(decode(&format!("2[\"x\",{}{}]", "[".repeat(20_000), "]".repeat(20_000)), 0).is_ok());
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        fn packet() -> impl Strategy<Value = String> {
            let namespace = prop_oneof![Just(String::new()), "/[a-z]{1,8}".prop_map(|n| n + ",")];
            let id = prop_oneof![Just(String::new()), any::<u64>().prop_map(|n| n.to_string())];
            let json = "(1|-2\\.5|null|true|\"[a-z ]{0,6}\"|\\[1,\\[\\]\\]|\\{\"a\":\"é\"\\})";
            let args = proptest::collection::vec(json, 0..5);
            (0..7u8, 0..10usize, namespace, id, "[a-z]{1,12}_", args).prop_map(
                |(kind, count, namespace, id, name, args)| {
                    let list = |first: Option<String>| {
                        format!("[{}]", first.into_iter().chain(args.clone()).collect::<Vec<_>>().join(","))
                    };
                    let event = list(Some(format!("\"{name}\"")));
                    match kind {
                        0 => format!("0{namespace}{{\"a\":1}}"),
                        1 => format!("1{namespace}"),
                        2 => format!("2{namespace}{id}{event}"),
                        3 => format!("3{namespace}{}{}", if id.is_empty() { "7" } else { &id }, list(None)),
                        4 => format!("4{namespace}{{\"message\":\"{name}\"}}"),
                        5 => format!("5{count}-{namespace}{id}{event}"),
                        _ => format!("6{count}-{namespace}7{}", list(None)),
                    }
                },
            )
        }

        proptest! {
            #[test]
            fn a_packet_is_written_as_it_was_read(text in packet()) {
                prop_assert_eq!(again(&text), text);
            }

            #[test]
            fn any_change_of_a_packet_is_read_or_refused(
                text in packet(),
                changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..6),
                cut in any::<prop::sample::Index>(),
            ) {
                let mut chars: Vec<char> = text.chars().collect();
                for (at, with) in changes {
                    let at = at.index(chars.len());
                    chars[at] = with;
                }
                chars.truncate(cut.index(chars.len() * 4).max(1));
                let text: String = chars.into_iter().collect();
                if let Ok(packet) = decode(&text, 10) {
                    let written = encode(&packet);
                    prop_assert_eq!(again(&written), written);
                }
            }
        }
    }
}
