use super::checks::Checks;
use super::{
    DeviceRecord, InboxRecord, ItemRecord, KeyRecord, Record, RevocationRecord, Sink, TombstoneRecord,
    Totals, TransferError,
};
use tidings_domain::{Counts, Revision, Timestamp};

/// How much a slice holds at most, about.
const SLICE_RECORDS: usize = 1_000;
const SLICE_BYTES: usize = 4 << 20;

/// Checked records, to be stored in one piece. One inbox may be spread over several slices.
#[derive(Debug, Default)]
pub struct Slice {
    /// Notifications that are not deleted.
    pub items: Vec<ItemRecord>,
    /// What is left of deleted ones.
    pub tombstones: Vec<TombstoneRecord>,
    /// Devices with their connections.
    pub devices: Vec<DeviceRecord>,
    /// Inboxes of which everything is in this slice or in those before.
    pub inboxes: Vec<Inbox>,
    /// Ends of sessions.
    pub revocations: Vec<RevocationRecord>,
    /// Idempotency keys.
    pub keys: Vec<KeyRecord>,
}

/// An inbox, and what is counted and found out of what it holds.
#[derive(Debug)]
pub struct Inbox {
    /// What was carried.
    pub record: InboxRecord,
    /// Its numbers, with what is due to expire and not swept yet.
    pub counts: Counts,
    /// The first moment at which something in it expires.
    pub next_expiry: Option<Timestamp>,
    /// Every notification with a revision up to here is delivered.
    pub settled: Revision,
}

/// Takes records one by one, checks each as from a stranger, and hands them to a sink in slices.
pub struct Intake {
    sink: Box<dyn Sink>,
    checks: Checks,
    slice: Slice,
    records: usize,
    bytes: usize,
    totals: Totals,
}

impl Intake {
    /// Into this sink. What is said to have been written after `now` (and a day, for clocks that differ) is refused.
    pub fn new(sink: Box<dyn Sink>, now: Timestamp) -> Self {
        let (checks, slice, totals) = (Checks::new(now), Slice::default(), Totals::default());
        Self { sink, checks, slice, records: 0, bytes: 0, totals }
    }

    /// The next record, in the order of the module's page. After an error the intake is only abandoned.
    pub async fn take(&mut self, record: Record) -> Result<(), TransferError> {
        let recount = self.checks.take(&record).map_err(TransferError::Refused)?;
        self.totals.add(&record);
        self.records += 1;
        match record {
            Record::Notification(item) => {
                let content = &item.content;
                self.bytes += content.title.len() + content.message.len() + content.data.get().len();
                self.slice.items.push(*item);
            }
            Record::Tombstone(tombstone) => self.slice.tombstones.push(tombstone),
            Record::Device(device) => self.slice.devices.push(device),
            Record::Inbox(record) => {
                let recount = recount.unwrap_or_default();
                let (counts, next_expiry, settled) = (recount.counts, recount.next_expiry, recount.settled);
                self.slice.inboxes.push(Inbox { record, counts, next_expiry, settled });
            }
            Record::Revocation(revocation) => self.slice.revocations.push(revocation),
            Record::Idempotency(key) => {
                self.bytes += key.note.len() + 256 * key.receipts.len();
                self.slice.keys.push(key);
            }
        }
        if self.records >= SLICE_RECORDS || self.bytes >= SLICE_BYTES { self.put().await } else { Ok(()) }
    }

    /// How much was taken.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Everything was taken, and may be used from now on.
    pub async fn finish(mut self) -> Result<Totals, TransferError> {
        let done = match self.checks.end() {
            Ok(()) => self.put().await,
            Err(detail) => Err(TransferError::Refused(detail)),
        };
        match done {
            Ok(()) => {
                self.sink.finish().await?;
                Ok(self.totals)
            }
            Err(error) => {
                self.sink.abandon().await;
                Err(error)
            }
        }
    }

    /// As if nothing had been begun.
    pub async fn abandon(self) {
        self.sink.abandon().await;
    }

    async fn put(&mut self) -> Result<(), TransferError> {
        (self.records, self.bytes) = (0, 0);
        self.sink.put(std::mem::take(&mut self.slice)).await
    }
}
