use super::line::{End, Ending, FORMAT, Header};
use super::{Source, Totals, TransferError};
use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::Write;
use tidings_domain::Timestamp;

/// Writes everything out of `source`. Blocks while it writes. `progress` hears after each few hundred records how much
/// there was so far.
pub async fn export(
    source: &mut dyn Source,
    to: &mut (dyn Write + Send),
    now: Timestamp,
    progress: &mut (dyn FnMut(&Totals) + Send),
) -> Result<Totals, TransferError> {
    let mut lines = Lines { to, digest: Sha256::new(), text: Vec::new() };
    let mut totals = Totals::default();
    lines.write(&Header { tidings_export: FORMAT, exported_at: now })?;
    loop {
        let records = source.next().await?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            lines.write(record)?;
            totals.add(record);
        }
        progress(&totals);
    }
    let sha256 = HEXLOWER.encode(&lines.digest.clone().finalize());
    lines.write(&End { end: Ending { totals, sha256 } })?;
    lines.to.flush()?;
    Ok(totals)
}

/// Writes lines, and keeps the digest of all of them.
struct Lines<'a> {
    to: &'a mut (dyn Write + Send),
    digest: Sha256,
    text: Vec<u8>,
}

impl Lines<'_> {
    fn write(&mut self, line: &impl Serialize) -> Result<(), TransferError> {
        self.text.clear();
        serde_json::to_writer(&mut self.text, line).map_err(std::io::Error::from)?;
        self.text.push(b'\n');
        self.digest.update(&self.text);
        self.to.write_all(&self.text)?;
        Ok(())
    }
}
