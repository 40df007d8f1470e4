//! `tidings export` and `tidings import`: everything of a store into a file, and a store of such a file, or of what
//! the original system stored.

mod export;
mod import;
mod original;
mod progress;

pub use export::export;
pub use import::{Input, import};
pub use original::import_original;

use std::path::{Path, PathBuf};
use thiserror::Error;
use tidings_store::transfer::TransferError;

/// Stands for standard output, or standard input.
const STANDARD: &str = "-";

/// Why nothing was moved; one sentence for the operator.
#[derive(Debug, Error)]
#[error("{}: {error}", .file.display())]
pub struct TransferFailed {
    file: PathBuf,
    error: TransferError,
}

impl TransferFailed {
    fn of(file: &Path) -> impl Fn(TransferError) -> Self {
        move |error| Self { file: file.to_owned(), error }
    }
}
