use super::Record;
use serde::{Deserialize, Serialize};

/// How much was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Inboxes.
    pub inboxes: u64,
    /// Notifications, archived ones too.
    pub notifications: u64,
    /// What is left of deleted ones.
    pub tombstones: u64,
    /// Devices.
    pub devices: u64,
    /// Connections of devices.
    pub connections: u64,
    /// Users whose sessions were ended.
    pub revocations: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
}

impl Totals {
    /// One more.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Notification(_) => self.notifications += 1,
            Record::Tombstone(_) => self.tombstones += 1,
            Record::Device(device) => {
                self.devices += 1;
                self.connections += device.connections.len() as u64;
            }
            Record::Inbox(_) => self.inboxes += 1,
            Record::Revocation(_) => self.revocations += 1,
            Record::Idempotency(_) => self.idempotency_keys += 1,
        }
    }
}
