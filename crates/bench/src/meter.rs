use crate::error::BenchError;
use crate::process::{Usage, machine_cpu};
use crate::report::ServerCost;
use crate::target::Target;

const MIB: f64 = 1_048_576.0;

/// What the server, the load generator and everybody else on this machine use from a moment on.
pub struct Meter {
    server: Option<Usage>,
    own: f64,
    machine: Option<f64>,
}

/// What was used on this machine, beside the server.
pub struct Beside {
    /// By the load generator.
    pub own: f64,
    /// By everything that is neither it nor the server, where that is known.
    pub others: Option<f64>,
}

impl Meter {
    pub fn start(target: &Target) -> Result<Self, BenchError> {
        Ok(Self { server: target.usage()?, own: own_cpu(), machine: machine_cpu().ok() })
    }

    /// What was used so far beside the server.
    pub fn beside(&self, target: &Target) -> Result<Beside, BenchError> {
        let own = own_cpu() - self.own;
        let server = self.server.zip(target.usage()?).map(|(before, now)| now.cpu() - before.cpu());
        let machine = self.machine.zip(machine_cpu().ok()).map(|(before, now)| now - before);
        // The kernel counts each of the three in moments of its own: the rest may come out a little below nothing.
        let others = machine.zip(server).map(|(machine, server)| (machine - server - own).max(0.0));
        Ok(Beside { own, others })
    }

    /// What the server used so far for this many sends, where its process is known.
    pub fn server(&self, target: &Target, sends: u64) -> Result<Option<ServerCost>, BenchError> {
        let cost = |(before, now): (Usage, Usage)| ServerCost {
            cpu_user_seconds: now.user - before.user,
            cpu_system_seconds: now.system - before.system,
            cpu_seconds_per_100k: (now.cpu() - before.cpu()) * 1e5 / (sends as f64).max(1.0),
            resident_mib_before: before.resident as f64 / MIB,
            resident_mib_after: now.resident as f64 / MIB,
        };
        Ok(self.server.zip(target.usage()?).map(cost))
    }
}

fn own_cpu() -> f64 {
    // Of this very process: nothing is known to make it fail, and the figure is for orientation only.
    Usage::own().unwrap_or_default().cpu()
}
