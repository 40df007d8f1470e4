use crate::frame::number;
use std::io::Write as _;

/// Stands before the number and time of a send in its text. Users' names must not contain it.
const KEY: &str = "bench#";
/// What a notification says, again and again until the body has its size.
const FILLER: &[u8] = b" Your order has been confirmed and is on its way to you.";

/// The name of one of the run's users. Each run has a prefix of its own, so that its inboxes begin empty.
pub fn user_id(prefix: &str, user: u32) -> String {
    format!("bench-{prefix}-{user}")
}

/// What the text of a notification says of its send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which send of the run it is.
    pub number: u64,
    /// When it began, in nanoseconds since the run's start.
    pub sent_at: u64,
}

impl Mark {
    /// Finds the mark in an event.
    pub fn find(json: &str) -> Option<Self> {
        let (sent, rest) = number(&json[json.find(KEY)? + KEY.len()..])?;
        let (sent_at, _) = number(rest.strip_prefix('@')?)?;
        Some(Self { number: sent, sent_at })
    }
}

/// Writes a request's body of about `size` bytes (never less than what it must say) over what `body` holds.
pub fn write(body: &mut Vec<u8>, size: usize, prefix: &str, user: u32, mark: Mark) {
    const END: &[u8] = b"\"}";
    body.clear();
    // Writing to a Vec cannot fail.
    let _ = write!(
        body,
        r#"{{"to":"bench-{prefix}-{user}","title":"Order placed","category":"orders","url":"/orders/{number}","message":"{KEY}{number}@{sent_at}."#,
        number = mark.number,
        sent_at = mark.sent_at,
    );
    let end = size.saturating_sub(END.len());
    while body.len() < end {
        let room = end - body.len();
        body.extend_from_slice(&FILLER[..room.min(FILLER.len())]);
    }
    body.extend_from_slice(END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_of_its_size_and_carries_its_mark() {
        let mark = Mark { number: 77, sent_at: 123_456_789 };
        let mut body = Vec::new();
        for size in [0, 200, 1_000] {
            write(&mut body, size, "p", 5, mark);
            let text = std::str::from_utf8(&body).unwrap();
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(json["to"], user_id("p", 5));
            assert_eq!(Mark::find(text), Some(mark));
            assert!(size == 0 || body.len() == size, "{}", body.len());
        }
    }

    #[test]
    fn a_text_without_a_whole_mark_has_none() {
        for text in ["", "bench#", "bench#1", "bench#1@", "bench#x@1", "bench#18446744073709551616@1"] {
            assert_eq!(Mark::find(text), None, "{text}");
        }
    }
}
