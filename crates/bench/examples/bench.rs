//! The load generator on its own: `cargo run --release -p tidings-bench --example bench -- send --spawn BINARY`.

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: tidings_bench::Options,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match tidings_bench::run(Cli::parse().options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
