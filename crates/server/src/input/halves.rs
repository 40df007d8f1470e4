//! Halves of surrogate pairs. JavaScript cuts texts between the two halves of an emoji, and `JSON.stringify` writes what is
//! left as `\ud83d`. That is no text: Rust and most parsers refuse it. What is taken, stored and delivered has U+FFFD there,
//! as when JavaScript itself writes such a text as UTF-8.

use std::borrow::Cow;

const REPLACEMENT: &[u8; 4] = b"fffd";

/// The JSON text with every escaped half of a surrogate pair replaced.
pub fn replace(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    replace_in(&mut bytes);
    // ASCII was replaced by ASCII, so that this is always UTF-8.
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The same in place: an escape is as long as its replacement. Outside of strings JSON has no backslashes, so that it is
/// enough to look for them.
pub fn replace_in(json: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += found;
        let Some(unit) = escaped(json, at) else {
            // Another escape, `\\` among them.
            at += 2;
            continue;
        };
        match unit {
            0xd800..=0xdbff if matches!(escaped(json, at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            0xd800..=0xdfff => {
                if let Some(digits) = json.get_mut(at + 2..at + 6) {
                    digits.copy_from_slice(REPLACEMENT);
                }
                at += 6;
            }
            _ => at += 6,
        }
    }
}

/// The UTF-16 unit that is escaped at `at`.
fn escaped(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit: u16, digit| {
        let digit = u16::try_from(char::from(*digit).to_digit(16)?).ok()?;
        Some(unit << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_becomes_the_replacement_character() {
        for (text, expected) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\uDE00""#, r#""\ufffd""#),
            (r#""a\ud83d\ud83d\ude00b""#, r#""a\ufffd\ud83d\ude00b""#),
            (r#""\ud83d\n\ude00""#, r#""\ufffd\n\ufffd""#),
            (r#""\ud83dx""#, r#""\ufffdx""#),
            (r#"{"\udfff":["\ud800\u0041"]}"#, r#"{"\ufffd":["\ufffd\u0041"]}"#),
        ] {
            assert_eq!(replace(text), expected, "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(expected).is_ok());
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for text in [
            "",
            r#""\ud83d\ude00""#,
            r#""\\ud83d""#,
            r#""\\\\ud83d""#,
            r#""\u00e4 \ufffd""#,
            r#""\ud8""#,
            r#""\u"#,
            "\\",
            r#""\ud83\u"#,
            r#""\u+d83""#,
            "\"\u{1f600} ä\"",
        ] {
            assert_eq!(replace(text), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_was_replaced_is_as_long_and_has_no_halves(text in "[\\\\ud83edfcA\"]{0,40}") {
            let replaced = replace(&text);
            proptest::prop_assert_eq!(replaced.len(), text.len());
            proptest::prop_assert_eq!(replace(&replaced), &*replaced);
        }
    }
}
