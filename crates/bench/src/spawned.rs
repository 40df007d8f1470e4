use crate::error::BenchError;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::fs::DirBuilder;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What the server writes to stderr once it can be reached.
const LISTENING: &str = "listening on http://";
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(15);
const LAST_LINES: usize = 20;

/// A server of our own, with an empty data folder. Both end with this value.
pub struct Spawned {
    child: Child,
    folder: PathBuf,
    address: String,
}

impl Spawned {
    /// Starts the binary with a new data folder inside `parent` and waits until it listens. The environment is passed
    /// on, so that another store can be measured.
    pub fn start(binary: &Path, parent: &Path) -> Result<Self, BenchError> {
        let spawn = |source| BenchError::Spawn { path: binary.to_owned(), source };
        // Absolute, because the server runs in its data folder, out of reach of a `.env` here.
        let program = binary.canonicalize().map_err(spawn)?;
        let folder = new_folder(parent)?;
        let child = Command::new(program)
            .current_dir(&folder)
            .env("PORT", "0")
            .env("TIDINGS_DATA_DIR", folder.join("data"))
            .env("TIDINGS_DRAIN_SECONDS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut spawned = match child {
            Ok(child) => Self { child, folder, address: String::new() },
            Err(source) => {
                remove(&folder);
                return Err(spawn(source));
            }
        };
        spawned.address = spawned.wait_until_listening()?;
        Ok(spawned)
    }

    /// Where it listens, `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder that holds its data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn wait_until_listening(&mut self) -> Result<String, BenchError> {
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (found, address) = sync_channel(1);
        if let Some(stderr) = self.child.stderr.take() {
            let log = Arc::clone(&log);
            // Reads on for as long as the server lives: a full pipe would stop it.
            std::thread::spawn(move || watch(stderr, &log, &found));
        }
        let reason = match address.recv_timeout(START_LIMIT) {
            Ok(address) => return Ok(address),
            Err(RecvTimeoutError::Timeout) => "took too long",
            Err(RecvTimeoutError::Disconnected) => "ended",
        };
        let lines: Vec<String> = log.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        Err(BenchError::NotListening { reason, log: lines.join("\n") })
    }

    fn stop(&mut self) -> std::io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let limit = Instant::now() + STOP_LIMIT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > limit {
                eprintln!(
                    "the server did not end within {} s of SIGTERM and is killed",
                    STOP_LIMIT.as_secs()
                );
                self.child.kill()?;
                self.child.wait()?;
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("cannot end the server (process {}): {error}", self.child.id());
        }
        remove(&self.folder);
    }
}

fn watch(stderr: ChildStderr, log: &Mutex<VecDeque<String>>, found: &SyncSender<String>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    // A line that is no UTF-8 must not end the reading.
    while {
        line.clear();
        stderr.read_until(b'\n', &mut line)
    }
    .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&line);
        if let Some(address) = address(&text) {
            // Full when an address was found before; the first one counts.
            let _ = found.try_send(address.to_owned());
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LAST_LINES {
            log.pop_front();
        }
        log.push_back(text.trim_end().to_owned());
    }
}

/// The address in the server's line, whatever its log format puts around it.
fn address(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(LISTENING)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]-".contains(c))).unwrap_or(rest.len());
    Some(&rest[..end])
}

fn new_folder(parent: &Path) -> Result<PathBuf, BenchError> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let path = parent.join(format!("tidings-bench-{}-{}", std::process::id(), since.as_nanos()));
    let made = DirBuilder::new().mode(0o700).create(&path).and_then(|()| path.canonicalize());
    made.map_err(|source| BenchError::Folder { path, source })
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("cannot remove {}: {error}", folder.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_any_log_format() {
        for line in [
            "listening on http://127.0.0.1:4000",
            "2026-01-01T00:00:00Z  INFO tidings: listening on http://127.0.0.1:4000 open=true",
            r#"{"level":"INFO","message":"listening on http://127.0.0.1:4000"}"#,
            "listening on http://127.0.0.1:4000/\u{1b}[0m",
        ] {
            assert_eq!(address(line), Some("127.0.0.1:4000"), "{line}");
        }
        assert_eq!(address("starting"), None);
    }

    #[test]
    fn a_program_that_ends_at_once_is_an_error_and_leaves_nothing() {
        let parent = std::env::temp_dir();
        let error = Spawned::start(Path::new("/bin/true"), &parent).err().unwrap();
        assert!(matches!(error, BenchError::NotListening { reason: "ended", .. }), "{error}");
        let own = format!("tidings-bench-{}-", std::process::id());
        let left = std::fs::read_dir(parent).unwrap().flatten();
        assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own)).count(), 0);
    }
}
