//! The log.

use crate::config::{Config, ConfigError};
use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// Sends the log to standard error, for people or for machines.
pub fn start(config: &Config) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        ConfigError(format!("TIDINGS_LOG: {:?} is not a log filter: {error}", config.log))
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    let started = if config.log_json {
        log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        log.with_ansi(stderr().is_terminal()).try_init()
    };
    started.map_err(|error| ConfigError(format!("the log cannot be started: {error}")))
}
