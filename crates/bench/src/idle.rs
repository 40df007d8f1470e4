use crate::clock::Clock;
use crate::crowd::Gathering;
use crate::error::BenchError;
use crate::ledger::Ledger;
use crate::load::fresh_prefix;
use crate::options::Idle;
use crate::process::Usage;
use crate::report::IdleReport;
use crate::target::Target;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Brings the devices online, and looks at the server's memory before, after, and after a while.
pub async fn run(idle: &Idle) -> Result<IdleReport, BenchError> {
    let target = Target::open(&idle.server)?;
    let before = target.usage()?;
    let clock = Clock::start();
    let ledger = Rc::new(RefCell::new(Ledger::new(0)));
    let gathering = Gathering {
        endpoint: Rc::clone(target.endpoint()),
        crowd: idle.crowd.clone(),
        prefix: fresh_prefix(),
        ledger: Rc::clone(&ledger),
        clock,
    };
    let attendance = gathering.gather(idle.connections).await;
    if attendance.registered == 0 {
        return Err(BenchError::Registration {
            lost: attendance.lost,
            wanted: idle.connections,
            first: attendance.first_failure.unwrap_or_default(),
        });
    }
    let seconds = clock.now() as f64 / 1e9;
    // What the server still does after its answer belongs to a registration.
    tokio::time::sleep(Duration::from_secs(u64::from(idle.crowd.settle))).await;
    let registered = target.usage()?;
    eprintln!("holding the connections for {} s", idle.seconds);
    tokio::time::sleep(Duration::from_secs(u64::from(idle.seconds))).await;
    let after = target.usage()?;

    let ledger = ledger.borrow();
    let grown = |usage: Option<Usage>| {
        let (before, usage) = before.zip(usage)?;
        Some((usage.resident as f64 - before.resident as f64) / 1024.0 / f64::from(attendance.registered))
    };
    Ok(IdleReport {
        scenario: "idle",
        connections: idle.connections,
        registered: attendance.registered,
        lost_registrations: attendance.lost,
        disconnected: ledger.tally.disconnected,
        first_failure: attendance.first_failure.or_else(|| ledger.first_failure.clone()),
        registrations_per_second: f64::from(attendance.registered) / seconds.max(f64::EPSILON),
        resident_mib_before: before.map(|usage| usage.resident as f64 / 1_048_576.0),
        resident_mib_after: after.map(|usage| usage.resident as f64 / 1_048_576.0),
        kib_per_connection: grown(registered),
        idle_seconds: idle.seconds,
        kib_per_connection_after_idle: grown(after),
        registration_cpu_seconds: before.zip(registered).map(|(from, to)| to.cpu() - from.cpu()),
        idle_cpu_seconds: registered.zip(after).map(|(from, to)| to.cpu() - from.cpu()),
    })
}
