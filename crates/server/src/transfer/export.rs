use super::progress::Progress;
use super::{STANDARD, TransferFailed};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use tidings_domain::{Clock, SystemClock};
use tidings_store::transfer::{Source, Totals, TransferError, export as write};

/// Writes everything into the new file `to` (`-`: standard output), so that the file is there whole or not at all. Only
/// its owner may read it, as it holds what everybody was told.
pub async fn export(source: Box<dyn Source>, to: &Path) -> Result<(), TransferFailed> {
    if to.as_os_str() == STANDARD {
        return write_to(source, &mut io::stdout()).await.map_err(TransferFailed::of(to));
    }
    let draft = to.with_added_extension("new");
    let written = write_file(source, &draft, to).await;
    if written.is_err() {
        // The error is what the operator must learn; a draft that stays is overwritten the next time.
        let _ = std::fs::remove_file(&draft);
    }
    written.map_err(TransferFailed::of(to))
}

async fn write_file(source: Box<dyn Source>, draft: &Path, to: &Path) -> Result<(), TransferError> {
    if to.try_exists()? {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not overwritten").into());
    }
    // A draft that was left here may be open to others, or lead elsewhere: it is made anew.
    match std::fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    write_to(source, &mut file).await?;
    file.sync_all()?;
    std::fs::rename(draft, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(())
}

async fn write_to(mut source: Box<dyn Source>, to: &mut (dyn Write + Send)) -> Result<(), TransferError> {
    let mut progress = Progress::start("exported", source.size().await?);
    let mut show = |totals: &Totals| progress.show(totals, totals.notifications + totals.tombstones);
    let totals = write(&mut *source, &mut BufWriter::new(to), SystemClock.now(), &mut show).await?;
    progress.end(&totals);
    Ok(())
}
