//! Opening: one process at a time, and nothing is touched that is not ours, whole and of a version we know.

use crate::checkpoint::Checkpointer;
use crate::failure::Failure;
use crate::health::Health;
use crate::readers::Readers;
use crate::transaction::Known;
use crate::writer::{Loop, Tally, Writer};
use crate::{Options, SqliteStore, header, private, schema};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidings_domain::{Clock, Epoch};
use tidings_store::{Observer, Visitors};
use tokio::sync::watch;

/// Older ones can lose commits when a checkpoint meets the start of a new log, which is what our threads do all day.
const SQLITE_AT_LEAST: i32 = 3_051_003;

/// How long a connection waits for another one of this process, or for a shell that somebody opened beside it.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// The database, in the store's folder.
pub(crate) const NAME: &str = "tidings.db";

/// What an import fills, in the store's folder, until it is the database.
pub(crate) const IMPORT: &str = "tidings.db.import";

/// Why a store cannot be opened, copied or made of a copy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process", .path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error("{} was written by a newer version (layout {found}, this one knows {known})", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The newest layout we know.
        known: i32,
    },
    /// An older program wrote it, and only a server brings it up to date.
    #[error("{} was written by an older version; start the server on it once", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// An import into it was cut off.
    #[error("{} is an import that was cut off; run the import again, or delete this file", .path.display())]
    Unfinished {
        /// What there is of it.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is not a Tidings database", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("{} is damaged ({detail}); restore it from a backup", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There is one already, where a copy should go.
    #[error("{} exists and is not overwritten", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written, or read.
    #[error("{} cannot be used: {detail}", .path.display())]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// The program was built with an SQLite that must not be used.
    #[error("SQLite {found} is too old, at least 3.51.3 is needed")]
    OldSqlite {
        /// The version that is linked.
        found: String,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        Self::NotWritable { path: path.to_owned(), detail: error.to_string() }
    }

    pub(crate) fn sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match Failure::from(error) {
            Failure::Damaged(detail) => Self::Corrupt { path, detail },
            other => Self::NotWritable { path, detail: other.to_string() },
        }
    }

    fn failure(path: &Path, failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => Self::sqlite(path, error),
            other => Self::Corrupt { path: path.to_owned(), detail: other.to_string() },
        }
    }
}

pub(crate) fn open(
    dir: &Path,
    options: Options,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> Result<SqliteStore, OpenError> {
    if rusqlite::version_number() < SQLITE_AT_LEAST {
        return Err(OpenError::OldSqlite { found: rusqlite::version().to_owned() });
    }
    private::folder(dir).map_err(|error| OpenError::io(dir, &error))?;
    let lock = lock(dir)?;
    private::warn_if_open(dir);
    let path = dir.join(NAME);
    if path.try_exists().map_err(|error| OpenError::io(&path, &error))? {
        let has_log = has_log(&path);
        header::check(&path, has_log)?;
        // Asks the system now, not at the first send.
        OpenOptions::new().write(true).open(&path).map_err(|error| OpenError::io(&path, &error))?;
        check_whole(&path, has_log, options.check_bytes)?;
    } else {
        refuse_unfinished(dir)?;
        create(dir, &path)?;
    }

    let sqlite = |error| OpenError::sqlite(&path, error);
    let failed = |failure| OpenError::failure(&path, failure);
    let mut conn = connect(&path).map_err(sqlite)?;
    // Until all is known to be well, closing must not carry anything over.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    prepare_writer(&conn, &options).map_err(sqlite)?;
    schema::migrate(&mut conn).map_err(sqlite)?;
    let known = Known::load(&conn).map_err(failed)?;
    let epoch = epoch(&conn).map_err(failed)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(sqlite)?;
    let page_bytes: u64 =
        conn.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0)).map_err(sqlite)?.into();

    let health = Arc::new(Health::default());
    let tally = Arc::new(Tally::default());
    let visitors = Arc::new(Visitors::default());
    let (writer, queue) = Writer::new(options.queue_bytes, options.wait, health.clone());
    let copier = connect(&path).map_err(sqlite)?;
    copier.execute_batch("PRAGMA synchronous = FULL").map_err(sqlite)?;
    let thread_error = |error: io::Error| OpenError::io(&path, &error);
    let checkpointer = Checkpointer::start(copier, options.wal_bytes, page_bytes).map_err(thread_error)?;
    let work = Loop {
        conn,
        known,
        visitors: visitors.clone(),
        clock: clock.clone(),
        observer,
        health: health.clone(),
        tally: tally.clone(),
        checkpointer,
    };
    let (ending, ended) = watch::channel(());
    let thread = std::thread::Builder::new()
        .name("tidings-writer".to_owned())
        .spawn(move || {
            work.run(queue);
            // Held until the last byte is written, whoever has dropped the store meanwhile.
            drop(lock);
            drop(ending);
        })
        .map_err(thread_error)?;

    let readers = Readers::new(options.readers, options.wait, health.clone(), {
        let path = path.clone();
        move || reader(&path, options.mmap_bytes)
    });
    // Opens one, so that what cannot be read is said now.
    readers.snapshot(|_| Ok(())).map_err(failed)?;
    Ok(SqliteStore {
        epoch,
        clock,
        writer,
        readers,
        visitors,
        health,
        tally,
        thread: Mutex::new(Some(thread)),
        ended,
        wait: options.wait,
    })
}

/// Takes the folder for this process. The system gives it back when the process ends, however it ends.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("tidings.lock");
    let file = private::lock_file(&path).map_err(|error| OpenError::io(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(&path, &error)),
    }
}

/// Makes a new file under another name, and renames it when it is whole: a crash at any moment leaves either no
/// database or a complete one.
fn create(dir: &Path, path: &Path) -> Result<(), OpenError> {
    refuse_orphaned_log(path)?;
    let draft = dir.join("tidings.db.new");
    let io = |error: io::Error| OpenError::io(path, &error);
    let sqlite = |error| OpenError::sqlite(path, error);
    for leftover in [draft.clone(), dir.join("tidings.db.new-journal")] {
        match std::fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    private::file(&draft).map_err(io)?;
    let mut conn = connect(&draft).map_err(sqlite)?;
    schema::migrate(&mut conn).map_err(sqlite)?;
    epoch(&conn).map_err(|failure| OpenError::failure(path, failure))?;
    conn.close().map_err(|(_, error)| sqlite(error))?;
    File::open(&draft).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&draft, path).map_err(io)?;
    sync_folder(path)
}

/// A new name is durable when its folder is.
pub(crate) fn sync_folder(of: &Path) -> Result<(), OpenError> {
    let folder = match of.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| OpenError::io(folder, &error))
}

/// A log without its database may hold what was acknowledged, and would be read into whatever takes the database's
/// place.
pub(crate) fn refuse_orphaned_log(path: &Path) -> Result<(), OpenError> {
    if has_log(path) {
        let detail = "it is missing, but its write-ahead log is there".to_owned();
        return Err(OpenError::Corrupt { path: path.to_owned(), detail });
    }
    Ok(())
}

/// An import fills a file beside the database's name. Where there is one, what the operator believes to be in the store is
/// not there yet, and a new store would take its place.
fn refuse_unfinished(dir: &Path) -> Result<(), OpenError> {
    let path = dir.join(IMPORT);
    match path.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(OpenError::Unfinished { path }),
        Err(error) => Err(OpenError::io(&path, &error)),
    }
}

/// Whether the last process left a log behind.
pub(crate) fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// Reads the whole file, unless it is so large that starting would take too long: a damaged page is better found now
/// than in the middle of the night.
fn check_whole(path: &Path, has_log: bool, at_most: u64) -> Result<(), OpenError> {
    let size = std::fs::metadata(path).map_err(|error| OpenError::io(path, &error))?.len();
    if size > at_most {
        return Ok(());
    }
    sound(path, if has_log { check_with_log(path) } else { check_alone(path) })
}

/// What a check of the whole file came to.
pub(crate) fn sound(path: &Path, checked: rusqlite::Result<String>) -> Result<(), OpenError> {
    match checked.map_err(|error| OpenError::sqlite(path, error))?.as_str() {
        "ok" => Ok(()),
        detail => Err(OpenError::Corrupt {
            path: path.to_owned(),
            detail: detail.lines().next().unwrap_or_default().to_owned(),
        }),
    }
}

/// After a clean end there is only the file. `immutable` keeps SQLite from making any other beside it.
pub(crate) fn check_alone(path: &Path) -> rusqlite::Result<String> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    quick_check(&Connection::open_with_flags(uri, flags)?)
}

/// After a crash the newest pages are in the log, which must be read with the file but not carried over before both are
/// known to be sound.
fn check_with_log(path: &Path) -> rusqlite::Result<String> {
    let conn = connect(path)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    quick_check(&conn)
}

fn quick_check(conn: &Connection) -> rusqlite::Result<String> {
    conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
}

pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(256);
    rusqlite::vtab::array::load_module(&conn)?;
    Ok(conn)
}

fn prepare_writer(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        tracing::warn!(
            journal.mode = mode,
            "the folder does not allow a write-ahead log; reads will wait for writes"
        );
    }
    conn.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    conn.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{};",
        options.cache_bytes / 1024
    ))
}

fn reader(path: &Path, mmap_bytes: usize) -> rusqlite::Result<Connection> {
    let conn = connect(path)?;
    // Only the writer carries the log over, at the very end.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.query_row(&format!("PRAGMA mmap_size = {mmap_bytes}"), [], |_| Ok(())).optional()?;
    conn.execute_batch("PRAGMA query_only = TRUE; PRAGMA cache_size = -4096;")?;
    Ok(conn)
}

/// This life of the store, from the file; a file without one begins a new life.
fn epoch(conn: &Connection) -> Result<Epoch, Failure> {
    let found: Option<String> =
        conn.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0)).optional()?;
    let text = match found {
        Some(text) => text,
        None => {
            let mut random = [0; 10];
            getrandom::fill(&mut random)
                .map_err(|error| Failure::Damaged(format!("no randomness for an epoch: {error}")))?;
            let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            conn.execute("INSERT INTO meta (key, value) VALUES ('epoch', ?1)", [&text])?;
            text
        }
    };
    Epoch::new(&text).map_err(|_| Failure::Damaged("the epoch cannot be read".to_owned()))
}
