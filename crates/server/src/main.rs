//! The `tidings` binary.

use std::process::ExitCode;
use std::sync::Arc;
use tidings::{bootstrap, cli, healthcheck, logging, transfer};
use tidings_auth::Auth;
use tidings_domain::SystemClock;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidings: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    match cli::parse()? {
        cli::Task::Serve(config, remarks) => {
            logging::start(&config)?;
            for name in &remarks.strangers {
                tracing::warn!(name, "this is set, but it is no setting of Tidings; is it a typing mistake?");
            }
            for remark in remarks.on_skipped_lines() {
                tracing::warn!("{remark}");
            }
            runtime()?.block_on(bootstrap::run(*config))?;
        }
        cli::Task::ShowConfig(values, remarks) => {
            for remark in remarks.on_skipped_lines() {
                eprintln!("tidings: {remark}");
            }
            cli::print(&cli::show(&values))?;
        }
        cli::Task::Token(config, user, ttl) => {
            let auth = runtime()?.block_on(Auth::new(config.auth, Arc::new(SystemClock)))?;
            cli::print(&format!("{}\n", auth.mint(&user, ttl)?.0))?;
        }
        cli::Task::Backup(config, file) => bootstrap::backup(&config, &file)?,
        cli::Task::Restore(config, file) => bootstrap::restore(&config, &file)?,
        cli::Task::Export(config, file) => {
            let runtime = runtime()?;
            let source = runtime.block_on(bootstrap::source(&config))?;
            runtime.block_on(transfer::export(source, &file))?;
        }
        cli::Task::Import(config, file) => {
            let (file, runtime) = (transfer::Input::open(&file)?, runtime()?);
            let sink = runtime.block_on(bootstrap::sink(&config))?;
            runtime.block_on(transfer::import(file, sink))?;
        }
        cli::Task::ImportOriginal(config, uri) => {
            let runtime = runtime()?;
            let (originals, sink) = runtime.block_on(bootstrap::original(&config, uri))?;
            runtime.block_on(transfer::import_original(originals, sink, config.retention))?;
        }
        cli::Task::Healthcheck(config) => healthcheck::healthcheck(&config)?,
        cli::Task::Bench(options) => {
            runtime()?.block_on(tidings_bench::run(*options))?;
        }
    }
    Ok(())
}

/// It lasts as long as the process: who is dropped last leaves work behind that tells a server so, and the driver of MongoDB
/// panics where its runtime goes away under that.
fn runtime() -> std::io::Result<&'static Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(Box::leak(Box::new(runtime)))
}
