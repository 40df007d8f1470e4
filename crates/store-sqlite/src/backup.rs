//! Copies of the store, and stores of copies.
//!
//! A copy carries no epoch. Whoever opens it, however it came to its place, begins a new life of the store: devices that
//! were ahead of the copy are told to read the inbox anew instead of waiting for revisions that they think they have.

use crate::open::{OpenError, check_alone, connect, has_log, lock, refuse_orphaned_log, sound, sync_folder};
use crate::{header, open::NAME, private};
use rusqlite::config::DbConfig;
use std::fs::File;
use std::path::Path;

/// Copies the store in `dir` into the new file `to`, whole and of one moment, also while a server writes to it.
pub fn backup(dir: &Path, to: &Path) -> Result<(), OpenError> {
    let path = dir.join(NAME);
    header::check(&path, has_log(&path))?;
    refuse_existing(to)?;
    let draft = to.with_added_extension("new");
    remove(&draft)?;
    // SQLite fills an empty file that is there.
    private::file(&draft).map_err(|error| OpenError::io(&draft, &error))?;
    let conn = connect(&path).map_err(|error| OpenError::sqlite(&path, error))?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|error| OpenError::sqlite(&path, error))?;
    conn.execute("VACUUM INTO ?1", [draft.to_string_lossy()])
        .map_err(|error| OpenError::sqlite(&path, error))?;
    finish(&draft, to)
}

/// Makes a store in `dir`, where there is none, of a copy.
pub fn restore(from: &Path, dir: &Path) -> Result<(), OpenError> {
    header::check(from, false)?;
    sound(from, check_alone(from))?;
    private::folder(dir).map_err(|error| OpenError::io(dir, &error))?;
    let _lock = lock(dir)?;
    let to = dir.join(NAME);
    refuse_existing(&to)?;
    refuse_orphaned_log(&to)?;
    let draft = to.with_added_extension("new");
    remove(&draft)?;
    // Not `fs::copy`, which gives the copy the mode of the file that it is of.
    let copied = File::open(from).and_then(|mut from| std::io::copy(&mut from, &mut private::file(&draft)?));
    copied.map_err(|error| OpenError::io(&draft, &error))?;
    finish(&draft, &to)
}

/// Takes the epoch from the draft and gives it its name, so that it is there whole or not at all.
pub(crate) fn finish(draft: &Path, to: &Path) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::sqlite(draft, error);
    let conn = connect(draft).map_err(sqlite)?;
    conn.execute("DELETE FROM meta WHERE key = 'epoch'", []).map_err(sqlite)?;
    conn.close().map_err(|(_, error)| sqlite(error))?;
    File::open(draft).and_then(|file| file.sync_all()).map_err(|error| OpenError::io(draft, &error))?;
    std::fs::rename(draft, to).map_err(|error| OpenError::io(to, &error))?;
    sync_folder(to)
}

pub(crate) fn refuse_existing(path: &Path) -> Result<(), OpenError> {
    match path.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(OpenError::Exists { path: path.to_owned() }),
        Err(error) => Err(OpenError::io(path, &error)),
    }
}

pub(crate) fn remove(leftover: &Path) -> Result<(), OpenError> {
    match std::fs::remove_file(leftover) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(OpenError::io(leftover, &error)),
        _ => Ok(()),
    }
}
