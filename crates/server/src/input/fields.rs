use crate::input::Malformed;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
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
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
    errors: Vec<FieldError>,
}

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

impl<'a> Fields<'a> {
    /// The fields of an object whose keys were found unique by [`crate::input::check_json`].
    pub fn of(text: &'a str) -> Result<Self, Malformed> {
        let Object(entries) =
            serde_json::from_str(text).map_err(|_| Malformed("must be a JSON object".to_owned()))?;
        Ok(Self { prefix: String::new(), entries, errors: Vec::new() })
    }

    /// The same for an object inside of another one; `prefix` is its path.
    pub fn nested(text: &'a RawValue, prefix: &str) -> Option<Self> {
        let Object(entries) = serde_json::from_str(text.get()).ok()?;
        Some(Self { prefix: format!("{prefix}."), entries, errors: Vec::new() })
    }

    /// The field as it was sent; `null` counts as absent.
    pub fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        self.raw_or_null(name).filter(|value| value.get() != "null")
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

    /// Reports that a field is wrong.
    pub fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(format!("{}{name}", self.prefix), detail));
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
    }

    fn typed<T: Deserialize<'a>>(&mut self, name: &str, what: &str) -> Option<T> {
        let raw = self.raw(name)?;
        match serde_json::from_str(raw.get()) {
            Ok(value) => Some(value),
            Err(_) => {
                self.wrong(name, format!("must be {what}"));
                None
            }
        }
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.typed(name, "a string")
    }

    /// A text that must be there.
    pub fn required_text(&mut self, name: &str) -> Option<String> {
        if !self.entries.iter().any(|(key, value)| key == name && value.get() != "null") {
            self.wrong(name, "is required");
            return None;
        }
        self.text(name)
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.typed(name, "a list of strings")
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, "true or false")
    }

    /// A whole number from 0.
    pub fn number(&mut self, name: &str) -> Option<u64> {
        self.typed(name, "a whole number from 0")
    }

    /// A list.
    pub fn list(&mut self, name: &str) -> Option<Vec<&'a RawValue>> {
        self.typed(name, "a list")
    }

    /// A moment, as RFC 3339.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let time = Timestamp::parse(&text);
        if time.is_none() {
            self.wrong(name, "must be a time as RFC 3339, like 2025-10-30T12:00:00.000Z");
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
        const REPORTED: usize = 20;
        self.errors.truncate(REPORTED);
        Err(Invalid(self.errors))
    }
}
