//! The file: lines of JSON, each an object with one key that says what it is. The first is the header, the last says how
//! many of each there must have been and carries the SHA-256 of all bytes before it. `docs/export.md` is for users.

use super::{Record, Totals, TransferError};
use serde::{Deserialize, Serialize};
use tidings_domain::Timestamp;

/// What this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub tidings_export: u32,
    pub exported_at: Timestamp,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub end: Ending,
}

/// What the last line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ending {
    pub totals: Totals,
    pub sha256: String,
}

/// A line that is neither the first nor the last.
pub(super) fn read(line: &[u8]) -> Result<Record, String> {
    serde_json::from_slice(line).map_err(|error| said(&error))
}

/// The last line, if this is one.
pub(super) fn read_end(line: &[u8]) -> Option<Result<Ending, String>> {
    line.starts_with(br#"{"end":"#)
        .then(|| serde_json::from_slice(line).map(|End { end }| end).map_err(|error| said(&error)))
}

/// Refuses what is no export, or one of a format that we do not know. A newer header may hold more.
pub(super) fn check_header(line: &[u8]) -> Result<(), TransferError> {
    #[derive(Deserialize)]
    struct Version {
        tidings_export: u32,
    }
    let Version { tidings_export: found } =
        serde_json::from_slice(line).map_err(|_| TransferError::Foreign)?;
    match found {
        0 => Err(TransferError::Foreign),
        FORMAT => Ok(()),
        _ => Err(TransferError::Newer { found, known: FORMAT }),
    }
}

/// Without the place, which speaks of the line as if it were the file, and never at the length of a stranger's text.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let short: String = text.chars().take(200).collect();
    format!("{short} (column {})", error.column())
}
