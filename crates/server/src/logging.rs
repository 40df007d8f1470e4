//! The log.

use crate::config::{Config, ConfigError};
use crate::log_line::WithRequestId;
use crate::supervise::what;
use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// Sends the log to standard error, for people or for machines.
pub fn start(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        ConfigError(format!("TIDINGS_LOG: {:?} is not a log filter: {error}", config.log))
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    let started = if config.log_json {
        let log = log.json().flatten_event(true).with_current_span(false).with_span_list(false);
        log.map_event_format(|line| WithRequestId { line, is_json: true }).try_init()
    } else {
        let log = log.with_ansi(stderr().is_terminal());
        log.map_event_format(|line| WithRequestId { line, is_json: false }).try_init()
    };
    log_panics();
    started.map_err(|error| ConfigError(format!("the log cannot be started: {error}")))
}

/// A panic is a line of the log like any other, for machines too.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        tracing::error!(panic = what(panic.payload()), place, thread, "the program panicked");
    }));
}

/// What is logged on this thread for as long as the guard is held.
#[cfg(test)]
pub(crate) fn captured() -> (Captured, tracing::subscriber::DefaultGuard) {
    let log = Captured::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// A log that is kept.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Captured(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Captured {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[cfg(test)]
impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
