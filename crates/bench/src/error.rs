use crate::report::Broken;
use std::io;
use std::path::PathBuf;

/// Why a run has no result, or a bad one.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The address is not one that this client can speak to.
    #[error("the server's address must look like http://host:port, not {url}: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server binary could not be started.
    #[error("cannot start {}: {source}", path.display())]
    Spawn {
        /// The binary.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server binary was started but never said where it listens.
    #[error("the server {reason} before it said where it listens; its last lines:\n{log}")]
    NotListening {
        /// What happened in place of it.
        reason: &'static str,
        /// The end of what it wrote to stderr.
        log: String,
    },
    /// The server's cost cannot be read.
    #[error("cannot read what process {pid} uses: {source}")]
    Process {
        /// The server's process.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for data and the fsync measurement cannot be used.
    #[error("cannot use the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Requests to the server fail.
    #[error("the server at {address} does not serve: {reason}")]
    NotServing {
        /// Where it was expected.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Devices did not get their inbox.
    #[error("{lost} of {wanted} devices did not register; the first: {first}")]
    Registration {
        /// How many did not.
        lost: u32,
        /// How many tried.
        wanted: u32,
        /// Why the first of them did not.
        first: String,
    },
    /// The run ended, and the server did not keep what it promises.
    #[error("not kept: {0}")]
    Broken(Broken),
    /// A signal ended the run.
    #[error("interrupted")]
    Interrupted,
    /// The thread of the run could not be set up.
    #[error("cannot set up the load generator: {0}")]
    Thread(#[source] io::Error),
    /// The thread of the run died.
    #[error("the load generator died; its panic is above")]
    Died,
    /// The report could not be written.
    #[error("cannot print the report: {0}")]
    Print(#[source] io::Error),
}
