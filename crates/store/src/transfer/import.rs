use super::{Intake, Sink, Totals, TransferError, line};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::io::{BufRead, Read};
use tidings_domain::Timestamp;

/// No line that we write is longer; the longest are the receipts of a large batch.
const LINE_BYTES: u64 = 256 << 20;

/// Reads a file that [`export`](super::export) wrote into `sink`, all of it or nothing: whatever is wrong with it, or with
/// the reading, is found before the store may be used, and what was stored of it is taken away. Blocks while it reads.
/// `progress` hears from time to time how much there was so far, and how many bytes of the file that is.
pub async fn import(
    from: &mut (dyn BufRead + Send),
    sink: Box<dyn Sink>,
    now: Timestamp,
    progress: &mut (dyn FnMut(&Totals, u64) + Send),
) -> Result<Totals, TransferError> {
    let mut intake = Intake::new(sink, now);
    match read(from, &mut intake, progress).await {
        Ok(()) => intake.finish().await,
        Err(error) => {
            intake.abandon().await;
            Err(error)
        }
    }
}

/// How often progress is told.
const STEP: u64 = 1_000;

async fn read(
    from: &mut (dyn BufRead + Send),
    intake: &mut Intake,
    progress: &mut (dyn FnMut(&Totals, u64) + Send),
) -> Result<(), TransferError> {
    let mut lines = Lines { from, text: Vec::new(), digest: Sha256::new(), number: 0, bytes: 0 };
    match lines.next() {
        Ok(true) => {}
        Ok(false) | Err(TransferError::CutOff { .. }) => return Err(TransferError::Foreign),
        Err(error) => return Err(error),
    }
    line::check_header(&lines.text)?;
    loop {
        let before = lines.digest.clone();
        if !lines.next()? {
            return Err(TransferError::CutOff { line: lines.number });
        }
        if let Some(ending) = line::read_end(&lines.text) {
            let ending = ending.map_err(|detail| lines.refused(detail))?;
            if ending.totals != *intake.totals() {
                return Err(lines.refused("not as many records came as this says".to_owned()));
            }
            if ending.sha256 != HEXLOWER.encode(&before.finalize()) {
                return Err(lines.refused("the file was changed: its SHA-256 is another".to_owned()));
            }
            if lines.next()? {
                return Err(lines.refused("something follows the end".to_owned()));
            }
            return Ok(());
        }
        let record = line::read(&lines.text).map_err(|detail| lines.refused(detail))?;
        intake.take(record).await.map_err(|error| match error {
            TransferError::Refused(detail) => lines.refused(detail),
            // Found when a slice is stored, which is at most a thousand lines later.
            twice @ TransferError::Twice(_) => lines.refused(format!("here or above, {twice}")),
            other => other,
        })?;
        if lines.number.is_multiple_of(STEP) {
            progress(intake.totals(), lines.bytes);
        }
    }
}

/// Reads lines, counts them, and keeps the digest of all of them.
struct Lines<'a> {
    from: &'a mut (dyn BufRead + Send),
    text: Vec<u8>,
    digest: Sha256,
    number: u64,
    bytes: u64,
}

impl Lines<'_> {
    /// The next whole line; `false` at the end.
    fn next(&mut self) -> Result<bool, TransferError> {
        self.text.clear();
        (&mut *self.from).take(LINE_BYTES).read_until(b'\n', &mut self.text)?;
        if self.text.is_empty() {
            return Ok(false);
        }
        if !self.text.ends_with(b"\n") {
            let cut_off = TransferError::CutOff { line: self.number };
            let too_long = self.text.len() as u64 == LINE_BYTES;
            self.number += 1;
            return Err(if too_long { self.refused("it is too long".to_owned()) } else { cut_off });
        }
        self.number += 1;
        self.bytes += self.text.len() as u64;
        self.digest.update(&self.text);
        Ok(true)
    }

    fn refused(&self, detail: String) -> TransferError {
        TransferError::Line { line: self.number, detail }
    }
}
