//! The first hundred bytes of an SQLite file, read without SQLite: opening a file with it may already change it.

use crate::open::OpenError;
use crate::schema::{APPLICATION_ID, VERSION};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Refuses what is not a Tidings database of a version we know. Only reads.
///
/// `has_log`: a log lies beside it. The file may then rightly be shorter than it says, when the process ended while the
/// log was being carried over: the first page is the first to be copied. The whole check, which reads both, decides.
pub(crate) fn check(path: &Path, has_log: bool) -> Result<(), OpenError> {
    let mut file = File::open(path).map_err(|error| OpenError::io(path, &error))?;
    let size = file.metadata().map_err(|error| OpenError::io(path, &error))?.len();
    let mut header = [0; 100];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(OpenError::Foreign { path: path.to_owned() });
        }
        Err(error) => return Err(OpenError::io(path, &error)),
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if &header[..16] != MAGIC || number(68) != APPLICATION_ID as u32 {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let version = number(60);
    if i64::from(version) > i64::from(VERSION) {
        return Err(OpenError::Newer { path: path.to_owned(), found: version, known: VERSION });
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // The count of pages is valid only when these two agree; older writers did not keep it.
    let pages = (number(24) == number(92)).then(|| u64::from(number(28)));
    let truncated = !has_log && pages.is_some_and(|pages| size < pages * page_size);
    if version == 0 || page_size < 512 || !page_size.is_power_of_two() || truncated {
        return Err(OpenError::Corrupt {
            path: path.to_owned(),
            detail: "it is shorter than it says".to_owned(),
        });
    }
    Ok(())
}
