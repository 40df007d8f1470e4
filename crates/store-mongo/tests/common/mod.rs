//! A server that speaks MongoDB's protocol, for the tests of one process.
//!
//! `TIDINGS_TEST_MONGODB_URI` points them at any replica set, `TIDINGS_TEST_MONGODB_SINGLE_URI` at any single server. Else
//! they start SecantusDB, which `test.sh` installs, in a folder that goes with it. There is no third way: without a server
//! the tests fail.

#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code)]

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);

/// A server of our own. It ends with this process: its guard waits for our end of a pipe to close.
pub struct Server {
    pub port: u16,
    guard: Child,
    pid: u32,
    dir: TempDir,
    extra: Vec<String>,
}

fn program() -> PathBuf {
    let from_environment = std::env::var_os("TIDINGS_TEST_SECANTUS").map(PathBuf::from);
    let of_the_checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/secantusd-py");
    from_environment.unwrap_or(of_the_checkout)
}

impl Server {
    pub fn start(extra: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let extra: Vec<String> = extra.iter().map(|word| (*word).to_owned()).collect();
        let (guard, pid) = launch(port, dir.path(), &extra);
        Self { port, guard, pid, dir, extra }
    }

    pub fn uri(&self, database: &str) -> String {
        format!("mongodb://127.0.0.1:{}/{database}", self.port)
    }

    /// Sends a signal to the server itself.
    pub fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &self.pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Kills it.
    pub fn kill(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().unwrap();
    }

    /// Starts it again, where it was.
    pub fn restart(&mut self) {
        (self.guard, self.pid) = launch(self.port, self.dir.path(), &self.extra);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn launch(port: u16, dir: &Path, extra: &[String]) -> (Child, u32) {
    let program = program();
    assert!(
        program.exists(),
        "these tests need a server that speaks MongoDB's protocol: let ./test.sh install SecantusDB ({} is missing), or set \
         TIDINGS_TEST_MONGODB_URI to a replica set",
        program.display()
    );
    // The guard kills the server when our end of the pipe closes, however this process ends.
    let script = r#""$@" >"$LOG" 2>&1 & echo $!; read -r _; kill -9 $!; wait"#;
    let mut guard = Command::new("sh")
        .args(["-c", script, "guard"])
        .arg(&program)
        .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--sync-on-commit", "--storage-path"])
        .arg(dir.join("data"))
        .args(extra)
        .env("LOG", dir.join("log"))
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(guard.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < START, "{}", std::fs::read_to_string(dir.join("log")).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(20));
    }
    (guard, pid.trim().parse().unwrap())
}

/// Where the tests of this process store, in a database of that name: on a replica set.
pub fn uri(database: &str) -> String {
    static SERVER: OnceLock<Place> = OnceLock::new();
    SERVER.get_or_init(|| Place::find("TIDINGS_TEST_MONGODB_URI", &[])).uri(database)
}

/// The same on a single server, which has no transactions.
pub fn single_uri(database: &str) -> String {
    static SERVER: OnceLock<Place> = OnceLock::new();
    SERVER.get_or_init(|| Place::find("TIDINGS_TEST_MONGODB_SINGLE_URI", &["--standalone"])).uri(database)
}

enum Place {
    Given(String),
    Ours(Server),
}

impl Place {
    fn find(variable: &str, extra: &[&str]) -> Self {
        std::env::var(variable).map_or_else(|_| Self::Ours(Server::start(extra)), Self::Given)
    }

    fn uri(&self, database: &str) -> String {
        match self {
            Self::Ours(server) => server.uri(database),
            Self::Given(uri) => {
                let (place, options) = uri.split_once('?').unwrap_or((uri, ""));
                let (scheme, rest) = place.split_once("://").expect("a URI begins with mongodb://");
                let hosts = rest.split('/').next().unwrap_or(rest);
                format!("{scheme}://{hosts}/{database}?{options}")
            }
        }
    }
}

/// A name that no other database has.
pub fn unused(name: &str) -> String {
    format!("tidings_test_{}_{name}", uuid::Uuid::new_v4().simple())
}
