use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A moment, in milliseconds since 1970 UTC; written as RFC 3339 with milliseconds and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads an RFC 3339 text with any offset. `None` when it is not one, or outside of the years 0 to 9999 in UTC. A leap
    /// second counts as the second before it.
    pub fn parse(text: &str) -> Option<Self> {
        // Not as a timestamp of jiff's, which leaves out the last day that can be written, for the sake of time zones.
        let text = short_fraction(text);
        let pieces = Pieces::parse(&*text).ok()?;
        let local = pieces.date().to_datetime(pieces.time()?);
        let offset = pieces.to_numeric_offset()?;
        let millis = i64::try_from(local.duration_since(EPOCH).as_millis()).ok()?;
        let millis = millis - i64::from(offset.seconds()) * 1_000;
        const YEAR_0: i64 = -62_167_219_200_000;
        const YEAR_10000: i64 = 253_402_300_800_000;
        (YEAR_0..YEAR_10000).contains(&millis).then_some(Self(millis))
    }

    /// This moment plus `duration`, saturating.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment minus `duration`, saturating.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EPOCH.checked_add(SignedDuration::from_millis(self.0)) {
            Ok(at) => write!(f, "{at:.3}Z"),
            Err(_) => write!(f, "invalid time"),
        }
    }
}

/// 1970-01-01T00:00:00, without a time zone.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The text with at most nine digits of a fraction, which are all that can be read; RFC 3339 allows any number.
fn short_fraction(text: &str) -> Cow<'_, str> {
    let Some(point) = text.find('.') else { return Cow::Borrowed(text) };
    let from = point + 1;
    let digits = text[from..].bytes().take_while(u8::is_ascii_digit).count();
    if digits <= 9 {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}{}", &text[..from + 9], &text[from + digits..]))
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("must be an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_milliseconds_and_reads_any_offset() {
        let at = Timestamp::parse("2025-10-30T14:00:00+02:00").unwrap();
        assert_eq!(at.to_string(), "2025-10-30T12:00:00.000Z");
        assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        assert_eq!(Timestamp::from_millis(1).to_string(), "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn reads_every_form_of_rfc_3339() {
        for (text, expected) in [
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T23:59:59.999999999999Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T23:00:00-00:59", "9999-12-31T23:59:00.000Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("2030-01-01t00:00:00z", "2030-01-01T00:00:00.000Z"),
            ("2030-01-01 00:00:00+00:00", "2030-01-01T00:00:00.000Z"),
            ("2030-01-01T00:00:00-00:00", "2030-01-01T00:00:00.000Z"),
            ("2030-01-01T00:00:00+23:59", "2029-12-31T00:01:00.000Z"),
            ("2030-01-01T00:00:00.1Z", "2030-01-01T00:00:00.100Z"),
            ("2030-01-01T00:00:00.123456789012345+02:00", "2029-12-31T22:00:00.123Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
            ("2016-12-31T18:59:60.5-05:00", "2016-12-31T23:59:59.500Z"),
            ("2028-02-29T12:00:00Z", "2028-02-29T12:00:00.000Z"),
        ] {
            let at = Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(at.to_string(), expected, "{text}");
            assert_eq!(Timestamp::parse(expected), Some(at), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_moment() {
        for text in [
            "",
            "tomorrow",
            "2025-10-30",
            "2025-10-30T12:00:00",
            "2025-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-10-30T24:00:00Z",
            "2025-10-30T12:00:00.Z",
            "2025-10-30T12:00:61Z",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
            "10000-01-01T00:00:00Z",
            "1735689600000",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
