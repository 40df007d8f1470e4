use super::progress::Progress;
use super::{STANDARD, TransferFailed};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use tidings_domain::{Clock, SystemClock};
use tidings_store::transfer::{Sink, Totals, TransferError, import as fill_from};

/// A file to be imported.
pub struct Input {
    name: PathBuf,
    read: Box<dyn BufRead + Send>,
    /// 0 when that is not known.
    bytes: u64,
}

impl Input {
    /// Opens the file `from` (`-`: standard input), before anything is begun.
    pub fn open(from: &Path) -> Result<Self, TransferFailed> {
        let name = from.to_owned();
        if from.as_os_str() == STANDARD {
            return Ok(Self { name, read: Box::new(BufReader::new(io::stdin())), bytes: 0 });
        }
        let opened = File::open(from).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|error| TransferFailed::of(from)(error.into()))?;
        Ok(Self { name, read: Box::new(BufReader::new(file)), bytes })
    }
}

/// Fills `sink` from a file, with all of it or nothing.
pub async fn import(from: Input, sink: Box<dyn Sink>) -> Result<(), TransferFailed> {
    let Input { name, mut read, bytes } = from;
    fill(&mut *read, bytes, sink).await.map_err(TransferFailed::of(&name))
}

async fn fill(from: &mut (dyn BufRead + Send), bytes: u64, sink: Box<dyn Sink>) -> Result<(), TransferError> {
    let mut progress = Progress::start("imported", bytes);
    let mut show = |totals: &Totals, bytes| progress.show(totals, bytes);
    let totals = fill_from(from, sink, SystemClock.now(), &mut show).await?;
    progress.end(&totals);
    Ok(())
}
