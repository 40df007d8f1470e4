use super::{Broken, Percentiles};
use serde::Serialize;

/// What a run that sends found. Everything from `lost` to `disconnected` must be 0.
#[derive(Debug, Serialize)]
pub struct LoadReport {
    /// Which scenario it was.
    pub scenario: &'static str,
    /// Users online.
    pub users: u32,
    /// Connections that sent.
    pub senders: u16,
    /// Sends per second, when they were on a schedule.
    pub rate: Option<u32>,
    /// Size of a request's body.
    pub payload_bytes: u16,
    /// Whether devices confirmed by themselves.
    pub acks: bool,
    /// Sends that were to be made.
    pub sends: u64,
    /// Answered with a 2xx.
    pub accepted: u64,
    /// Answered with anything else.
    pub refused: u64,
    /// Not answered.
    pub unanswered: u64,
    /// Received by the device, each counted once.
    pub received: u64,
    /// Accepted and never received.
    pub lost: u64,
    /// Received again.
    pub duplicates: u64,
    /// Received at or below the device's cursor, or of another epoch.
    pub out_of_order: u64,
    /// Events that did not join on to the one before.
    pub gaps: u64,
    /// Devices that lost their connection.
    pub disconnected: u64,
    /// What the first thing that failed said.
    pub first_failure: Option<String>,
    /// From the first send to the last receipt.
    pub seconds: f64,
    /// Accepted sends in this time.
    pub sends_per_second: f64,
    /// From the start of a POST to its answer.
    pub post_ms: Percentiles,
    /// From the start of a POST to the receipt by the device.
    pub end_to_end_ms: Percentiles,
    /// What it cost the server.
    pub server: Option<ServerCost>,
    /// What the load generator itself used in this time.
    pub client_cpu_seconds: f64,
    /// What everything else on this machine used in this time; not none: the run was disturbed.
    pub other_cpu_seconds: Option<f64>,
    /// What the disk takes for an fsync (median).
    pub fsync_ms: Option<f64>,
}

/// What a run cost the server, until it had settled.
#[derive(Debug, Serialize)]
pub struct ServerCost {
    /// Processor time in user space.
    pub cpu_user_seconds: f64,
    /// Processor time in the kernel.
    pub cpu_system_seconds: f64,
    /// Both, for 100,000 accepted sends.
    pub cpu_seconds_per_100k: f64,
    /// Resident memory with all users online, before the first send.
    pub resident_mib_before: f64,
    /// Resident memory at the end.
    pub resident_mib_after: f64,
}

impl LoadReport {
    pub(super) fn broken(&self) -> Broken {
        let answered = self.accepted + self.refused + self.unanswered;
        let counts = [
            ("lost", self.lost),
            ("duplicates", self.duplicates),
            ("out of order", self.out_of_order),
            ("gaps", self.gaps),
            ("devices disconnected", self.disconnected),
            ("sends refused", self.refused),
            ("sends unanswered", self.unanswered),
            ("sends not made", self.sends.saturating_sub(answered)),
        ];
        Broken::new(&counts, self.first_failure.clone())
    }

    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let pace = self.rate.map_or_else(|| "as fast as they can".to_owned(), |rate| format!("{rate}/s"));
        let acks = if self.acks { "acknowledged" } else { "not acknowledged" };
        let mut rows = vec![
            ("scenario", format!("{}, {} senders, {pace}", self.scenario, self.senders)),
            ("online", format!("{} users, {acks}", self.users)),
            (
                "accepted",
                format!("{} of {} sends of {} bytes", self.accepted, self.sends, self.payload_bytes),
            ),
            ("refused, unanswered", format!("{}, {}", self.refused, self.unanswered)),
            ("received", self.received.to_string()),
            ("lost", self.lost.to_string()),
            ("duplicates", self.duplicates.to_string()),
            ("out of order, gaps", format!("{}, {}", self.out_of_order, self.gaps)),
            ("disconnected", self.disconnected.to_string()),
            ("throughput", format!("{:.0} sends/s in {:.2} s", self.sends_per_second, self.seconds)),
            ("POST", self.post_ms.to_string()),
            ("POST to received", self.end_to_end_ms.to_string()),
        ];
        if let Some(server) = &self.server {
            let (user, system) = (server.cpu_user_seconds, server.cpu_system_seconds);
            rows.push(("server CPU", format!("{user:.2} s user, {system:.2} s system")));
            rows.push(("server CPU per 100,000", format!("{:.2} s", server.cpu_seconds_per_100k)));
            let (before, after) = (server.resident_mib_before, server.resident_mib_after);
            rows.push(("server memory", format!("{before:.1} MiB before, {after:.1} MiB after")));
        }
        rows.push(("load generator CPU", format!("{:.2} s", self.client_cpu_seconds)));
        if let Some(others) = self.other_cpu_seconds {
            rows.push(("CPU of all others here", format!("{others:.2} s")));
        }
        if let Some(fsync) = self.fsync_ms {
            rows.push(("fsync of the disk", format!("{fsync:.3} ms")));
        }
        rows.extend(self.first_failure.iter().map(|failure| ("first failure", failure.clone())));
        rows
    }
}
