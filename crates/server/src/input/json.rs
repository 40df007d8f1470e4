//! JSON that says each thing once. Of two equal keys every parser keeps another one, so what was checked might not be
//! what is used later: they are refused, at any depth.

use crate::input::halves;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// A text that is no JSON, or says something twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// How many keys the objects around one place may have together, since they are remembered meanwhile; the `data` of a
/// notification, the largest that is taken, has room for fewer in its 16 KiB.
const KEYS: usize = 8_192;

/// How deep JSON may be nested. Common parsers (serde_json among them) read 127 levels, and `data` may reach a client with
/// three more around it than it was sent with: the list of an event's arguments, an object, and a list of notifications.
const LEVELS: usize = 124;

/// The text with every half of a surrogate pair replaced by U+FFFD. Refuses what is no JSON, is nested too deep, has a key
/// twice or too many of them.
pub fn clean(text: &str) -> Result<Cow<'_, str>, Malformed> {
    let text = halves::replace(text);
    check(text.as_bytes())?;
    Ok(text)
}

/// Refuses what is no JSON, is nested too deep, has a key twice or too many of them.
pub fn check(text: &[u8]) -> Result<(), Malformed> {
    check_but(text, None)
}

/// The same, but does not look into the items of the list `name` of the outermost object: each of them is to be checked by
/// itself, so that one that cannot be read does not spoil the others.
pub fn check_around(text: &[u8], name: &'static str) -> Result<(), Malformed> {
    check_but(text, Some(name))
}

fn check_but(text: &[u8], unread: Option<&'static str>) -> Result<(), Malformed> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Unique { keys_around: 0, levels: LEVELS, unread, is_unread: false }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|e| Malformed(e.to_string()))
}

#[derive(Clone, Copy)]
struct Unique {
    /// Of the objects that this value is inside of, as far as they were read.
    keys_around: usize,
    /// How many more levels this value may have.
    levels: usize,
    /// The list of this object whose items are not looked into.
    unread: Option<&'static str>,
    /// Whether this value is that list.
    is_unread: bool,
}

impl Unique {
    fn inside<E: de::Error>(self, keys_around: usize) -> Result<Self, E> {
        let levels =
            self.levels.checked_sub(1).ok_or_else(|| E::custom(format!("nested deeper than {LEVELS}")))?;
        Ok(Self { keys_around, levels, unread: None, is_unread: false })
    }
}

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.is_unread {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let inside = self.inside(self.keys_around)?;
        while items.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        // Most objects are small: a scan is cheaper than hashing until it is not.
        let mut few: Vec<String> = Vec::new();
        let mut many: HashSet<String> = HashSet::new();
        let inside: Self = self.inside(self.keys_around)?;
        while let Some(key) = entries.next_key::<String>()? {
            if few.contains(&key) || many.contains(&key) {
                return Err(de::Error::custom("the same key twice in one object"));
            }
            let is_unread = self.unread.is_some_and(|unread| unread == key);
            if few.len() < 16 {
                few.push(key);
            } else {
                many.insert(key);
            }
            let keys_around = self.keys_around + few.len() + many.len();
            if keys_around > KEYS {
                return Err(de::Error::custom("too many keys"));
            }
            entries.next_value_seed(Self { keys_around, is_unread, ..inside })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_json() {
        for text in ["{}", r#"{"a":{"a":1},"b":[{"a":null},{"a":1.5e3}]}"#, "\"x\"", " [1,true] "] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn refuses_a_key_twice_at_any_depth() {
        let wide = (0..40).map(|n| format!("\"k{n}\":0")).collect::<Vec<_>>().join(",");
        for text in [
            r#"{"a":1,"a":1}"#.to_owned(),
            r#"{"d":[{"x":{"a":1,"b":2,"a":3}}]}"#.to_owned(),
            r#"{"a":1,"\u0061":2}"#.to_owned(),
            format!("{{{wide},\"k39\":1}}"),
        ] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_too_many_keys_around_one_place() {
        let object = |keys: usize, inner: &str| {
            let keys = (1..keys).map(|key| format!("\"{key}\":0,")).collect::<String>();
            format!("{{{keys}\"x\":{inner}}}")
        };
        assert_eq!(check(object(8_192, "0").as_bytes()), Ok(()));
        assert!(check(object(8_193, "0").as_bytes()).is_err());
        assert_eq!(check(object(5_000, &object(3_000, "[0]")).as_bytes()), Ok(()));
        assert!(check(object(5_000, &object(5_000, "[0]")).as_bytes()).is_err());
        // One after the other they are forgotten.
        let small = object(100, "0");
        assert_eq!(check(format!("[{small}{}]", format!(",{small}").repeat(200)).as_bytes()), Ok(()));
    }

    #[test]
    fn refuses_what_is_no_json() {
        for text in [&b""[..], b"{", b"{} x", b"{\"a\":\"\xff\"}", b"\"\\ud800\"", b"nul", b"1e999"] {
            assert!(check(text).is_err(), "{text:?}");
        }
        assert!(check("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn refuses_what_a_client_could_not_read_with_more_around_it() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(nested(LEVELS).as_bytes()), Ok(()));
        assert!(check(nested(LEVELS + 1).as_bytes()).is_err());
        // `data` lies in one object when it is sent, and in a list, an object, a list and an object when it is resumed.
        let event = format!("[{{\"notifications\":[{{\"data\":{}}}]}}]", nested(LEVELS - 1));
        assert!(serde_json::from_str::<serde_json::Value>(&event).is_ok());
    }

    #[test]
    fn cleans_half_a_surrogate_pair() {
        assert_eq!(clean(r#"{"a":"\ud83d"}"#).unwrap(), r#"{"a":"\ufffd"}"#);
        assert!(clean(r#"{"\ud83d":1,"\ud83e":2}"#).is_err(), "two halves are the same key");
    }

    #[test]
    fn does_not_look_into_the_items_of_one_list() {
        let around = |text: &str| check_around(text.as_bytes(), "list");
        let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        for item in [r#"{"a":1,"a":2}"#, "1e999", &deep] {
            assert_eq!(around(&format!(r#"{{"list":[{item},1]}}"#)), Ok(()), "{item:.20}");
            assert!(around(&format!(r#"{{"other":[{item}]}}"#)).is_err(), "{item:.20}");
            assert!(around(&format!(r#"{{"other":{{"list":[{item}]}}}}"#)).is_err(), "{item:.20}");
            assert!(around(&format!(r#"{{"list":{{"list":[{item}]}}}}"#)).is_err(), "{item:.20}");
        }
        for bad in [r#"{"list":[1],"list":[1]}"#, r#"{"list":[1}"#, r#"{"list":[1]} x"#, "[[1,]]"] {
            assert!(around(bad).is_err(), "{bad}");
        }
    }
}
