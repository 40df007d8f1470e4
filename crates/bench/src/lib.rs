//! The load generator behind `tidings bench`: it speaks HTTP and Socket.IO as a client does, and knows nothing of the
//! server's insides. What it reports is what a sender and a device would see, and what the operating system says the
//! server spent on it.
//!
//! All of a run happens on one thread with a runtime of its own: the load generator shares the machine with what it
//! measures, and a single thread without locks or stealing is the cheapest client.

mod checker;
mod clock;
mod crowd;
mod device;
mod disk;
mod error;
mod frame;
mod histogram;
mod http1;
mod idle;
mod ledger;
mod load;
mod meter;
mod options;
mod payload;
mod process;
mod report;
mod rng;
mod sender;
mod spawned;
mod target;
mod tickets;

pub use error::BenchError;
pub use options::{Attach, Crowd, Idle, Latency, Options, Scenario, Send, Server};
pub use report::{Broken, IdleReport, LoadReport, Percentiles, Report, ServerCost};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// Runs one scenario and prints its report to stdout. Promises that were not kept (a lost notification, a lost
/// registration) are an error, after the report was printed.
pub async fn run(options: Options) -> Result<(), BenchError> {
    let report = measure(options.scenario).await?;
    report.print(options.json).map_err(BenchError::Print)?;
    report.kept()
}

/// Runs one scenario.
pub async fn measure(scenario: Scenario) -> Result<Report, BenchError> {
    let (answer, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("bench".to_owned())
        .spawn(move || {
            // The receiver is gone only if the caller gave up; then nobody wants the answer.
            let _ = answer.send(run_here(&scenario));
        })
        .map_err(BenchError::Thread)?;
    result.await.map_err(|_| BenchError::Died)?
}

fn run_here(scenario: &Scenario) -> Result<Report, BenchError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BenchError::Thread)?;
    let local = LocalSet::new();
    let result = local.block_on(&runtime, async {
        // A run that is interrupted must still end the server that it started.
        let mut terminate = signal(SignalKind::terminate()).map_err(BenchError::Thread)?;
        tokio::select! {
            report = play(scenario) => report,
            _ = tokio::signal::ctrl_c() => Err(BenchError::Interrupted),
            _ = terminate.recv() => Err(BenchError::Interrupted),
        }
    });
    drop(local);
    result
}

async fn play(scenario: &Scenario) -> Result<Report, BenchError> {
    match scenario {
        Scenario::Send(send) => load::run(&load::Plan::from(send), &send.server).await.map(Report::Load),
        Scenario::Latency(latency) => {
            load::run(&load::Plan::from(latency), &latency.server).await.map(Report::Load)
        }
        Scenario::Idle(idle) => idle::run(idle).await.map(Report::Idle),
    }
}
