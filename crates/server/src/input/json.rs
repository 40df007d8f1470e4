//! JSON that says each thing once. Of two equal keys every parser keeps another one, so what was checked might not be
//! what is used later: they are refused, at any depth.

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// A text that is no JSON, or says something twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// How many keys the objects around one place may have together, since they are remembered meanwhile; the `data` of a
/// notification, the largest that is taken, has room for fewer in its 16 KiB.
const KEYS: usize = 8_192;

/// Refuses what is no JSON, is nested deeper than 128, has a key twice or too many of them.
pub fn check(text: &[u8]) -> Result<(), Malformed> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Unique { keys_around: 0 }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|e| Malformed(e.to_string()))
}

#[derive(Clone, Copy)]
struct Unique {
    /// Of the objects that this value is inside of, as far as they were read.
    keys_around: usize,
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
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        // Most objects are small: a scan is cheaper than hashing until it is not.
        let mut few: Vec<String> = Vec::new();
        let mut many: HashSet<String> = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if few.contains(&key) || many.contains(&key) {
                return Err(de::Error::custom("the same key twice in one object"));
            }
            if few.len() < 16 {
                few.push(key);
            } else {
                many.insert(key);
            }
            let keys_around = self.keys_around + few.len() + many.len();
            if keys_around > KEYS {
                return Err(de::Error::custom("too many keys"));
            }
            entries.next_value_seed(Self { keys_around })?;
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
}
