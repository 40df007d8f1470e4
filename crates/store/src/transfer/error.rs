use crate::StoreError;
use std::io;
use thiserror::Error;

/// Why a transfer did not come to its end; one sentence for the operator.
#[derive(Debug, Error)]
pub enum TransferError {
    /// What came is not what a store holds.
    #[error("{0}")]
    Refused(String),
    /// A line of the file is not what it must be.
    #[error("line {line}: {detail}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// The file ends before its last line.
    #[error("the file ends after line {line}, before its own end: it was cut off")]
    CutOff {
        /// The last whole line.
        line: u64,
    },
    /// It is no such file.
    #[error("this is not an export of Tidings")]
    Foreign,
    /// A newer program wrote it.
    #[error("the file was written by a newer version (format {found}, this one knows {known})")]
    Newer {
        /// Its format.
        found: u32,
        /// The newest format we know.
        known: u32,
    },
    /// What may be there once is there twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be read or written.
    #[error("the file cannot be used: {0}")]
    File(#[from] io::Error),
}
