use super::Broken;
use serde::Serialize;

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

impl IdleReport {
    pub(super) fn broken(&self) -> Broken {
        let counts = [
            ("registrations lost", u64::from(self.lost_registrations)),
            ("devices disconnected", self.disconnected),
        ];
        Broken::new(&counts, self.first_failure.clone())
    }

    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
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
