//! Folders and files that only their owner may open: they hold what everybody was told.
//!
//! SQLite gives the files that it makes beside a database (the log, its index, the journal) the database's own mode, so it is
//! enough that the database is made here before SQLite opens it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const FILE: u32 = 0o600;
const FOLDER: u32 = 0o700;

/// The bits of a mode that let others in.
const OTHERS: u32 = 0o077;

/// Makes the folder and what is missing above it; a folder that is there keeps its mode.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// Makes a new, empty file.
pub(crate) fn file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE).open(path)
}

/// Opens the lock file, or makes it. Whoever may open it can lock it and so keep the store from being opened: one of an
/// older version, which was open to all, is closed.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(FILE).open(path)?;
    if file.metadata()?.permissions().mode() & OTHERS != 0
        && let Err(error) = file.set_permissions(Permissions::from_mode(FILE))
    {
        tracing::warn!(file = %path.display(), %error, "others can lock this file, and it cannot be closed to them");
    }
    Ok(file)
}

/// Warns of a store of an older version, or that somebody has opened to others.
pub(crate) fn warn_if_open(folder: &Path) {
    let is_open =
        |path: &Path| path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0);
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("tidings."))
    };
    let named = if is_open(folder) { Some(folder.to_owned()) } else { None };
    if let Some(path) = named.or_else(|| files.into_iter().find(|path| ours(path) && is_open(path))) {
        tracing::warn!(
            "{} is open to other users of this machine; close it with: chmod -R go= {}",
            path.display(),
            folder.display()
        );
    }
}
