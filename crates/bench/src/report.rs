use crate::error::BenchError;
use crate::histogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::io::{self, Write as _};

/// What a run found.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Of `send` and `latency`.
    Load(LoadReport),
    /// Of `idle`.
    Idle(IdleReport),
}

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

/// How a latency was distributed, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Exceeded by one in a hundred.
    pub p99: f64,
    /// The worst.
    pub max: f64,
}

/// What holding connections found. `lost_registrations` and `disconnected` must be 0.
#[derive(Debug, Serialize)]
pub struct IdleReport {
    /// Which scenario it was.
    pub scenario: &'static str,
    /// Connections that were to be held.
    pub connections: u32,
    /// Connections that registered.
    pub registered: u32,
    /// Connections that did not.
    pub lost_registrations: u32,
    /// Connections that ended before the run did.
    pub disconnected: u64,
    /// What the first thing that failed said.
    pub first_failure: Option<String>,
    /// How fast they came.
    pub registrations_per_second: f64,
    /// The server's resident memory before the first connection.
    pub resident_mib_before: Option<f64>,
    /// The server's resident memory at the end.
    pub resident_mib_after: Option<f64>,
    /// Growth for each connection once all were registered.
    pub kib_per_connection: Option<f64>,
    /// How long they were held.
    pub idle_seconds: u32,
    /// Growth for each connection after that.
    pub kib_per_connection_after_idle: Option<f64>,
    /// Processor time for the registrations.
    pub registration_cpu_seconds: Option<f64>,
    /// Processor time while idle.
    pub idle_cpu_seconds: Option<f64>,
}

/// The promises that a run found broken, and how often.
#[derive(Debug)]
pub struct Broken(Vec<(&'static str, u64)>, Option<String>);

impl From<&Histogram> for Percentiles {
    fn from(nanos: &Histogram) -> Self {
        let ms = |nanos: u64| nanos as f64 / 1e6;
        Self { p50: ms(nanos.quantile(0.5)), p99: ms(nanos.quantile(0.99)), max: ms(nanos.max()) }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", self.p50, self.p99, self.max)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (what, count)) in self.0.iter().enumerate() {
            write!(f, "{}{count} {what}", if index == 0 { "" } else { ", " })?;
        }
        match &self.1 {
            Some(first) => write!(f, "; the first failure: {first}"),
            None => Ok(()),
        }
    }
}

impl Report {
    /// Writes it to stdout.
    pub fn print(&self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if as_json {
            serde_json::to_writer_pretty(&mut out, self)?;
            return writeln!(out);
        }
        for (name, value) in self.rows() {
            writeln!(out, "{name:<28} {value}")?;
        }
        Ok(())
    }

    /// An error when the server did not keep what it promises.
    pub fn kept(&self) -> Result<(), BenchError> {
        let (counts, first) = match self {
            Self::Load(load) => (
                vec![
                    ("lost", load.lost),
                    ("duplicates", load.duplicates),
                    ("out of order", load.out_of_order),
                    ("gaps", load.gaps),
                    ("devices disconnected", load.disconnected),
                    ("sends refused", load.refused),
                    ("sends unanswered", load.unanswered),
                    ("sends not made", load.sends - load.accepted - load.refused - load.unanswered),
                ],
                &load.first_failure,
            ),
            Self::Idle(idle) => (
                vec![
                    ("registrations lost", u64::from(idle.lost_registrations)),
                    ("devices disconnected", idle.disconnected),
                ],
                &idle.first_failure,
            ),
        };
        let broken: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        if broken.is_empty() { Ok(()) } else { Err(BenchError::Broken(Broken(broken, first.clone()))) }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Load(load) => load.rows(),
            Self::Idle(idle) => idle.rows(),
        }
    }
}

impl LoadReport {
    fn rows(&self) -> Vec<(&'static str, String)> {
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
        if let Some(fsync) = self.fsync_ms {
            rows.push(("fsync of the disk", format!("{fsync:.3} ms")));
        }
        rows.extend(self.first_failure.iter().map(|failure| ("first failure", failure.clone())));
        rows
    }
}

impl IdleReport {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("scenario", self.scenario.to_owned()),
            ("registered", format!("{} of {}", self.registered, self.connections)),
            ("lost registrations", self.lost_registrations.to_string()),
            ("disconnected", self.disconnected.to_string()),
            ("registrations", format!("{:.0}/s", self.registrations_per_second)),
        ];
        if let Some((before, after)) = self.resident_mib_before.zip(self.resident_mib_after) {
            rows.push(("server memory", format!("{before:.1} MiB before, {after:.1} MiB after")));
        }
        if let Some((now, later)) = self.kib_per_connection.zip(self.kib_per_connection_after_idle) {
            let seconds = self.idle_seconds;
            rows.push((
                "memory per connection",
                format!("{now:.2} KiB, after {seconds} s idle {later:.2} KiB"),
            ));
        }
        if let Some((busy, idle)) = self.registration_cpu_seconds.zip(self.idle_cpu_seconds) {
            rows.push(("server CPU", format!("{busy:.2} s to register, {idle:.2} s idle")));
        }
        rows.extend(self.first_failure.iter().map(|failure| ("first failure", failure.clone())));
        rows
    }
}
