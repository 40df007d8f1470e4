mod idle;
mod load;
mod percentiles;

pub use idle::IdleReport;
pub use load::{LoadReport, ServerCost};
pub use percentiles::Percentiles;

use crate::error::BenchError;
use serde::Serialize;
use std::fmt;
use std::io::{self, Write as _};

/// What a run found.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Of `send` and `latency`.
    Load(LoadReport),
    /// Of `idle`.
    Idle(IdleReport),
}

/// The promises that a run found broken, and how often.
#[derive(Debug)]
pub struct Broken {
    counts: Vec<(&'static str, u64)>,
    first_failure: Option<String>,
}

impl Broken {
    fn new(counts: &[(&'static str, u64)], first_failure: Option<String>) -> Self {
        Self { counts: counts.iter().filter(|(_, count)| *count > 0).copied().collect(), first_failure }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (what, count)) in self.counts.iter().enumerate() {
            write!(f, "{}{count} {what}", if index == 0 { "" } else { ", " })?;
        }
        match &self.first_failure {
            Some(first) => write!(f, "; the first failure: {first}"),
            None => Ok(()),
        }
    }
}

impl Report {
    /// Writes it to stdout.
    pub fn print(&self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if as_json {
            serde_json::to_writer_pretty(&mut out, self)?;
            return writeln!(out);
        }
        for (name, value) in self.rows() {
            writeln!(out, "{name:<28} {value}")?;
        }
        Ok(())
    }

    /// An error when the server did not keep what it promises.
    pub fn kept(&self) -> Result<(), BenchError> {
        let broken = match self {
            Self::Load(load) => load.broken(),
            Self::Idle(idle) => idle.broken(),
        };
        if broken.counts.is_empty() { Ok(()) } else { Err(BenchError::Broken(broken)) }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Load(load) => load.rows(),
            Self::Idle(idle) => idle.rows(),
        }
    }
}
