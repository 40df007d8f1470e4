//! Tidings: the real-time notification inbox. `bootstrap` puts the parts together, `http` takes what is sent, `realtime`
//! brings it to the devices; `transfer` moves everything to another store.

pub mod app;
pub mod bootstrap;
pub mod cli;
pub mod config;
#[doc(hidden)]
pub mod fuzz;
mod hangup;
pub mod healthcheck;
mod http;
mod input;
mod log_line;
pub mod logging;
pub mod realtime;
pub mod revocation;
pub mod supervise;
pub mod tls;
mod tls_client;
pub mod transfer;
mod upkeep;
