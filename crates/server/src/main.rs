//! The `tidings` binary.

use std::process::ExitCode;
use std::sync::Arc;
use tidings::{bootstrap, cli, healthcheck, logging, transfer};
use tidings_auth::Auth;
use tidings_domain::SystemClock;

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
        cli::Task::Serve(config, strangers) => {
            logging::start(&config)?;
            for name in strangers {
                tracing::warn!(name, "this is set, but it is no setting of Tidings; is it a typing mistake?");
            }
            runtime()?.block_on(bootstrap::run(*config))?;
        }
        cli::Task::ShowConfig(values) => cli::print(&cli::show(&values))?,
        cli::Task::Token(config, user, ttl) => {
            let auth = runtime()?.block_on(Auth::new(config.auth, Arc::new(SystemClock)))?;
            cli::print(&format!("{}\n", auth.mint(&user, ttl)?.0))?;
        }
        cli::Task::Backup(config, file) => bootstrap::backup(&config, &file)?,
        cli::Task::Restore(config, file) => bootstrap::restore(&config, &file)?,
        cli::Task::Export(config, file) => {
            runtime()?.block_on(transfer::export(bootstrap::source(&config)?, &file))?;
        }
        cli::Task::Import(config, file) => {
            let file = transfer::Input::open(&file)?;
            runtime()?.block_on(transfer::import(file, bootstrap::sink(&config)?))?;
        }
        cli::Task::Healthcheck(config) => healthcheck::healthcheck(&config)?,
        cli::Task::Bench(options) => {
            runtime()?.block_on(tidings_bench::run(*options))?;
        }
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
