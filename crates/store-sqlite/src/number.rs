//! SQLite counts in `i64`, the domain in `u64`. Nothing here wraps or panics: what comes from outside and is too large
//! is treated as the largest, what comes from the file and is negative is damage.

use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};

/// A number from outside, as a bound in a query.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count of rows, as a bound in a query.
pub(crate) fn rows(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from the file that cannot be negative.
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            Type::Integer,
            Box::new(FromSqlError::OutOfRange(value)),
        )
    })
}
