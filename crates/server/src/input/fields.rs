use crate::input::Malformed;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use tidings_domain::{FieldError, Invalid, Timestamp};

/// What to do with a field that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// An error: a typing mistake must not look like a default.
    Refuse,
    /// As the original system did.
    Ignore,
}

/// The fields of one JSON object, taken one by one; what is wrong is gathered and reported at once by
/// [`Fields::finish`]. `null` counts as absent.
pub struct Fields<'a> {
    prefix: String,
    /// Whether they are read as the original system did.
    is_original: bool,
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
    errors: Vec<FieldError>,
    /// How many more errors there are than are listed.
    unlisted: usize,
}

/// How many errors of one object are listed.
const LISTED: usize = 20;

struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    entries.push((Cow::Owned(key), map.next_value()?));
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A list of which no more than one above `most` is kept, however long it is: the one more tells that it is too long.
struct Most<T> {
    most: usize,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Most<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Most<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while items.len() <= self.most {
            let Some(item) = list.next_element()? else { return Ok(items) };
            items.push(item);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(items)
    }
}

/// Reads a list, but no more of it than tells that it is longer than `most`.
pub(super) fn read_list<'a, T: Deserialize<'a>>(text: &'a str, most: usize) -> serde_json::Result<Vec<T>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Most { most, of: PhantomData }.deserialize(&mut deserializer)
}

impl<'a> Fields<'a> {
    /// The fields of an object whose keys were found unique by [`crate::input::check_json`].
    pub fn of(text: &'a str) -> Result<Self, Malformed> {
        let Object(entries) =
            serde_json::from_str(text).map_err(|_| Malformed("must be a JSON object".to_owned()))?;
        Ok(Self { prefix: String::new(), is_original: false, entries, errors: Vec::new(), unlisted: 0 })
    }

    /// The same, read as the original system did: `""` counts as absent too, numbers and booleans are taken where a text is
    /// due, and what is unknown is ignored.
    pub fn of_original(text: &'a str) -> Result<Self, Malformed> {
        Ok(Self { is_original: true, ..Self::of(text)? })
    }

    /// An object inside of this one, read in the same way; `prefix` is its path.
    pub fn nested(&self, text: &'a RawValue, prefix: &str) -> Option<Self> {
        let Object(entries) = serde_json::from_str(text.get()).ok()?;
        let (prefix, is_original) = (format!("{prefix}."), self.is_original);
        Some(Self { prefix, is_original, entries, errors: Vec::new(), unlisted: 0 })
    }

    /// What to do with fields that nobody asked for.
    pub fn unknown(&self) -> Unknown {
        if self.is_original { Unknown::Ignore } else { Unknown::Refuse }
    }

    fn is_absent(&self, value: &RawValue) -> bool {
        value.get() == "null" || (self.is_original && value.get() == "\"\"")
    }

    /// The field as it was sent; `null` counts as absent.
    pub fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        self.raw_or_null(name).filter(|value| !self.is_absent(value))
    }

    /// The field as it was sent, `null` too.
    pub fn raw_or_null(&mut self, name: &str) -> Option<&'a RawValue> {
        let index = self.entries.iter().position(|(key, _)| key == name)?;
        Some(self.entries.swap_remove(index).1)
    }

    /// Whether the field was sent as `null`.
    pub fn peek_null(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, value)| key == name && value.get() == "null")
    }

    /// Whether the field was sent as a string.
    pub fn is_text(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, value)| key == name && value.get().starts_with('"'))
    }

    /// Reports that a field is wrong.
    pub fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        if self.errors.len() < LISTED {
            self.errors.push(FieldError::new(format!("{}{name}", self.prefix), detail));
        } else {
            self.unlisted += 1;
        }
    }

    /// Takes over errors that were found elsewhere; their paths are relative to this object.
    pub fn absorb(&mut self, invalid: Invalid) {
        for error in invalid.0 {
            self.wrong(&error.field, error.detail);
        }
    }

    /// Takes over errors of a [`Fields::nested`] of this one, whose paths are whole already.
    pub fn absorb_nested(&mut self, invalid: Invalid) {
        self.errors.extend(invalid.0);
        self.unlisted += self.errors.len().saturating_sub(LISTED);
        self.errors.truncate(LISTED);
    }

    fn typed<T: Deserialize<'a>>(&mut self, name: &str, what: &str) -> Option<T> {
        self.read(name, what, serde_json::from_str)
    }

    fn read<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl FnOnce(&'a str) -> serde_json::Result<T>,
    ) -> Option<T> {
        let raw = self.raw(name)?;
        let value = read(raw.get()).ok();
        if value.is_none() {
            self.wrong(name, format!("must be {what}"));
        }
        value
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        if self.is_original { self.text_of_any(name) } else { self.typed(name, "a string") }
    }

    /// A text, or a number or boolean as its text.
    pub fn text_of_any(&mut self, name: &str) -> Option<String> {
        self.read(name, "a string", |json| match json.as_bytes().first() {
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => Ok(json.to_owned()),
            _ => serde_json::from_str(json),
        })
    }

    /// A text that must be there.
    pub fn required_text(&mut self, name: &str) -> Option<String> {
        if !self.entries.iter().any(|(key, value)| key == name && !self.is_absent(value)) {
            self.wrong(name, "is required");
            return None;
        }
        self.text(name)
    }

    /// A list of at most so many texts.
    pub fn texts(&mut self, name: &str, most: usize) -> Option<Vec<String>> {
        self.bounded(name, "a list of strings", most)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, "true or false")
    }

    /// A whole number from 0.
    pub fn number(&mut self, name: &str) -> Option<u64> {
        self.typed(name, "a whole number from 0")
    }

    /// A list of at most so many.
    pub fn list(&mut self, name: &str, most: usize) -> Option<Vec<&'a RawValue>> {
        self.bounded(name, "a list", most)
    }

    fn bounded<T: Deserialize<'a>>(&mut self, name: &str, what: &str, most: usize) -> Option<Vec<T>> {
        let items = self.read(name, what, |text| read_list(text, most))?;
        if items.len() > most {
            self.wrong(name, format!("must be at most {most}"));
            return None;
        }
        Some(items)
    }

    /// A moment, as RFC 3339.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let time = Timestamp::parse(&text);
        if time.is_none() {
            self.wrong(
                name,
                "must be a time as RFC 3339, like 2025-10-30T12:00:00.000Z, before the year 10000 UTC",
            );
        }
        time
    }

    /// An object, letter by letter.
    pub fn object(&mut self, name: &str) -> Option<Box<RawValue>> {
        let raw = self.raw(name)?;
        if raw.get().starts_with('{') {
            Some(raw.to_owned())
        } else {
            self.wrong(name, "must be an object");
            None
        }
    }

    /// Whether nothing is wrong so far.
    pub fn good(&self) -> bool {
        self.errors.is_empty()
    }

    /// All that is wrong, if anything.
    pub fn finish(mut self, unknown: Unknown) -> Result<(), Invalid> {
        if unknown == Unknown::Refuse {
            for (name, _) in std::mem::take(&mut self.entries) {
                // A name of a megabyte is not worth quoting.
                let short: String = name.chars().take(64).collect();
                self.wrong(&short, "is not a field that can be set here");
            }
        }
        if self.errors.is_empty() {
            return Ok(());
        }
        if let (1.., Some(last)) = (self.unlisted, self.errors.last_mut()) {
            last.detail.push_str(&format!(" ({} more errors are not listed)", self.unlisted));
        }
        Err(Invalid(self.errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_list_one_too_many_is_kept() {
        let text = format!("[{}7]", "{},".repeat(1_000_000));
        assert_eq!(read_list::<&RawValue>(&text, 1_000).unwrap().len(), 1_001);
        assert!(read_list::<&RawValue>(&text, 1_000).unwrap().capacity() < 2_100);
        assert_eq!(read_list::<u8>("[1,2,3]", 3).unwrap(), [1, 2, 3]);
        assert_eq!(read_list::<u8>("[1,2,3,\"x\"]", 2).unwrap().len(), 3);
        assert!(read_list::<u8>("[1,\"x\"]", 3).is_err());
        assert!(read_list::<u8>("{}", 3).is_err());
    }

    #[test]
    fn the_original_took_what_had_a_text() {
        let text = r#"{"a":42,"b":true,"c":"","d":-1.50,"e":[],"f":{"g":7}}"#;
        let mut fields = Fields::of_original(text).unwrap();
        assert_eq!(fields.text("a").as_deref(), Some("42"));
        assert_eq!(fields.required_text("b").as_deref(), Some("true"));
        assert_eq!(fields.text("c"), None);
        assert_eq!(fields.text("d").as_deref(), Some("-1.50"));
        assert_eq!(fields.text("e"), None);
        let raw = fields.raw("f").unwrap();
        assert_eq!(fields.nested(raw, "f").unwrap().text("g").as_deref(), Some("7"));
        assert_eq!(fields.finish(Unknown::Ignore), Err(Invalid::one("e", "must be a string")));
        let mut fields = Fields::of_original(r#"{"a":""}"#).unwrap();
        assert_eq!(fields.required_text("a"), None);
        assert_eq!(fields.finish(Unknown::Ignore), Err(Invalid::one("a", "is required")));
    }

    #[test]
    fn of_many_errors_some_are_listed_and_the_others_are_counted() {
        let many = (0..100).map(|n| format!("\"x{n}\":{n}")).collect::<Vec<_>>().join(",");
        let text = format!("{{{many}}}");
        let Invalid(errors) = Fields::of(&text).unwrap().finish(Unknown::Refuse).unwrap_err();
        assert_eq!(errors.len(), 20);
        assert!(errors[19].detail.ends_with("(80 more errors are not listed)"), "{}", errors[19].detail);
        assert!(!errors[18].detail.contains("not listed"));
    }

    #[test]
    fn a_list_that_is_too_long_is_refused_by_name() {
        let mut fields = Fields::of(r#"{"a":["x","y"],"b":[1,2,3]}"#).unwrap();
        assert_eq!(fields.texts("a", 2).unwrap(), ["x", "y"]);
        assert!(fields.list("b", 2).is_none());
        assert_eq!(fields.finish(Unknown::Refuse), Err(Invalid::one("b", "must be at most 2")));
    }
}
