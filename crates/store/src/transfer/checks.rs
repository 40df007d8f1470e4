use super::{DeviceRecord, InboxRecord, ItemRecord, KeyRecord, Record, TombstoneRecord};
use std::collections::BTreeSet;
use std::time::Duration;
use tidings_domain::{Counts, Revision, Timestamp, UserId, limits};

/// The largest revision that every client can hold: JavaScript's numbers end here.
const MAX_REVISION: Revision = (1 << 53) - 1;
/// How far the clock of the machine that wrote may have been ahead.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);
/// The devices of one user, and the connections of one device; a store knows no more.
const DEVICES: usize = 1_000;
const CONNECTIONS: usize = 16;
const PID_BYTES: usize = 128;
const TRANSPORTS: [&str; 4] = ["websocket", "polling", "sse", "http"];
const NOTE_BYTES: usize = 4 << 20;

/// What an inbox's records come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Recount {
    /// With what is due to expire.
    pub counts: Counts,
    pub next_expiry: Option<Timestamp>,
    pub settled: Revision,
}

/// Holds one record after the other to what a store can hold, as from a stranger.
pub(super) struct Checks {
    /// Nothing was written after this.
    latest: Timestamp,
    /// The inbox that is coming.
    open: Option<Open>,
    last_user: Option<UserId>,
    last_revoked: Option<UserId>,
    last_key: Option<String>,
}

/// An inbox of which its own record has not come yet.
struct Open {
    user_id: UserId,
    last_seq: Revision,
    highest: Revision,
    /// Revisions above `last_seq` that changed something; none of them can have created something too.
    changes: BTreeSet<Revision>,
    counts: Counts,
    next_expiry: Option<Timestamp>,
    /// The smallest revision of what no device has confirmed.
    undelivered: Option<Revision>,
    last_device: Option<String>,
    devices: usize,
}

impl Checks {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { latest: now.after(AHEAD), open: None, last_user: None, last_revoked: None, last_key: None }
    }

    /// The next record. With an inbox, what its records came to.
    pub(super) fn take(&mut self, record: &Record) -> Result<Option<Recount>, String> {
        match record {
            Record::Notification(item) => self.item(item)?,
            Record::Tombstone(tombstone) => self.tombstone(tombstone)?,
            Record::Device(device) => self.device(device)?,
            Record::Inbox(inbox) => return self.inbox(inbox).map(Some),
            Record::Revocation(revocation) => {
                self.no_inbox_is_open()?;
                self.written("at", revocation.at)?;
                ascends(&mut self.last_revoked, &revocation.user_id, "user_id")?;
                if self.last_key.is_some() {
                    return Err("ended sessions come before idempotency keys".to_owned());
                }
            }
            Record::Idempotency(key) => self.key(key)?,
        }
        Ok(None)
    }

    /// Nothing more comes.
    pub(super) fn end(&self) -> Result<(), String> {
        self.no_inbox_is_open()
    }

    fn no_inbox_is_open(&self) -> Result<(), String> {
        match &self.open {
            Some(open) => Err(format!("the inbox of {} has not come yet", open.user_id)),
            None => Ok(()),
        }
    }

    fn written(&self, field: &str, at: Timestamp) -> Result<(), String> {
        if (Timestamp::from_millis(0)..=self.latest).contains(&at) {
            Ok(())
        } else {
            Err(format!("{field} is before 1970 or in the future"))
        }
    }

    /// The inbox that this record belongs to.
    fn open(&mut self, user_id: &UserId) -> Result<&mut Open, String> {
        if self.last_revoked.is_some() || self.last_key.is_some() {
            return Err("inboxes come first".to_owned());
        }
        match &self.open {
            Some(open) if open.user_id == *user_id => {}
            Some(_) => self.no_inbox_is_open()?,
            None => ascends(&mut self.last_user, user_id, "user_id")?,
        }
        Ok(self.open.get_or_insert_with(|| Open {
            user_id: user_id.clone(),
            last_seq: 0,
            highest: 0,
            changes: BTreeSet::new(),
            counts: Counts::default(),
            next_expiry: None,
            undelivered: None,
            last_device: None,
            devices: 0,
        }))
    }

    fn item(&mut self, item: &ItemRecord) -> Result<(), String> {
        self.written("created_at", item.created_at)?;
        item.content.check().map_err(|invalid| invalid.to_string())?;
        let open = self.open(&item.user_id)?;
        open.place(item.seq, item.rev)?;
        let key = item.collapse_key.as_deref().unwrap_or("-");
        if !(1..=limits::COLLAPSE_KEY_BYTES).contains(&key.len()) {
            return Err(format!("collapse_key must be 1 to {} bytes", limits::COLLAPSE_KEY_BYTES));
        }
        let state = &item.state;
        if state.read_at.is_some() && state.seen_at.is_none() {
            return Err("what is read is seen".to_owned());
        }
        if state.archived_at.is_none() {
            open.counts.total += 1;
            open.counts.unread += u64::from(state.read_at.is_none());
            open.counts.unseen += u64::from(state.seen_at.is_none());
        }
        if state.delivered_at.is_none() {
            open.undelivered = Some(open.undelivered.map_or(item.rev, |rev| rev.min(item.rev)));
        }
        if let Some(at) = item.expires_at {
            open.next_expiry = Some(open.next_expiry.map_or(at, |next| next.min(at)));
        }
        Ok(())
    }

    fn tombstone(&mut self, tombstone: &TombstoneRecord) -> Result<(), String> {
        self.written("created_at", tombstone.created_at)?;
        self.written("deleted_at", tombstone.deleted_at)?;
        if tombstone.rev == tombstone.seq {
            return Err("a deletion has a revision of its own".to_owned());
        }
        self.open(&tombstone.user_id)?.place(tombstone.seq, tombstone.rev)
    }

    fn device(&mut self, device: &DeviceRecord) -> Result<(), String> {
        self.written("last_seen_at", device.last_seen_at)?;
        if !TRANSPORTS.contains(&device.transport.as_str()) {
            return Err(format!("transport must be one of {}", TRANSPORTS.join(", ")));
        }
        if device.connections.len() > CONNECTIONS {
            return Err(format!("a device has at most {CONNECTIONS} connections"));
        }
        for connection in &device.connections {
            self.written("at", connection.at)?;
            let pid = &connection.pid;
            if !(1..=PID_BYTES).contains(&pid.len()) || pid.chars().any(char::is_control) {
                return Err(format!("pid must be 1 to {PID_BYTES} bytes without control characters"));
            }
        }
        let open = self.open(&device.user_id)?;
        ascends(&mut open.last_device, &device.device_id.as_str().to_owned(), "device_id")?;
        open.highest = open.highest.max(device.cursor);
        open.devices += 1;
        if open.devices > DEVICES {
            return Err(format!("a user has at most {DEVICES} devices"));
        }
        Ok(())
    }

    fn inbox(&mut self, inbox: &InboxRecord) -> Result<Recount, String> {
        let open = self.open(&inbox.user_id)?;
        if inbox.head > MAX_REVISION {
            return Err(format!("head must be at most {MAX_REVISION}"));
        }
        for (what, rev) in [
            ("floor", inbox.floor),
            ("confirmed", inbox.confirmed),
            ("a revision of the inbox", open.highest),
        ] {
            if rev > inbox.head {
                return Err(format!("{what} is {rev}, above the head, which is {}", inbox.head));
            }
        }
        let settled = open.undelivered.map_or(inbox.head, |rev| rev - 1);
        let recount = Recount { counts: open.counts, next_expiry: open.next_expiry, settled };
        self.open = None;
        Ok(recount)
    }

    fn key(&mut self, key: &KeyRecord) -> Result<(), String> {
        self.no_inbox_is_open()?;
        self.written("created_at", key.created_at)?;
        if !(1..=limits::IDEMPOTENCY_KEY_BYTES).contains(&key.key.len()) {
            return Err(format!("key must be 1 to {} bytes", limits::IDEMPOTENCY_KEY_BYTES));
        }
        if key.note.len() > NOTE_BYTES {
            return Err(format!("note must be at most {NOTE_BYTES} bytes"));
        }
        if key.receipts.iter().any(|receipt| !(1..=MAX_REVISION).contains(&receipt.seq)) {
            return Err(format!("seq must be 1 to {MAX_REVISION}"));
        }
        ascends(&mut self.last_key, &key.key, "key")
    }
}

impl Open {
    /// A notification's two revisions, live or not.
    fn place(&mut self, seq: Revision, rev: Revision) -> Result<(), String> {
        if self.last_device.is_some() {
            return Err("what an inbox holds comes before its devices".to_owned());
        }
        if seq <= self.last_seq {
            return Err(format!(
                "seq is {seq}, but must be above the one before, which is {}",
                self.last_seq
            ));
        }
        if !(seq..=MAX_REVISION).contains(&rev) {
            return Err(format!("rev must be {seq} to {MAX_REVISION}"));
        }
        if self.changes.contains(&seq) {
            return Err(format!("revision {seq} created something and changed something else"));
        }
        self.last_seq = seq;
        self.highest = self.highest.max(rev);
        while self.changes.first().is_some_and(|rev| *rev < seq) {
            self.changes.pop_first();
        }
        if rev > seq {
            self.changes.insert(rev);
        }
        Ok(())
    }
}

/// What comes in order comes once.
fn ascends<T: Ord + Clone>(last: &mut Option<T>, next: &T, field: &str) -> Result<(), String> {
    if last.as_ref().is_some_and(|last| last >= next) {
        return Err(format!("{field} must be above the one before"));
    }
    *last = Some(next.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    /// Records as they lie in a file.
    fn item(user: &str, seq: u64, rev: u64) -> String {
        format!(
            r#"{{"notification":{{"user_id":"{user}","id":"0198c0de-0000-7000-8000-000000000001","seq":{seq},"rev":{rev},"created_at":"2025-12-01T00:00:00Z","state":{{}},"content":{{"title":"","message":"m","data":{{}},"category":null,"priority":"normal","url":null,"avatar":null,"actions":[]}}}}}}"#
        )
    }

    fn tombstone(seq: u64, rev: u64) -> String {
        format!(
            r#"{{"tombstone":{{"user_id":"ana","id":"0198c0de-0000-7000-8000-000000000001","seq":{seq},"rev":{rev},"created_at":"2025-12-01T00:00:00Z","deleted_at":"2025-12-02T00:00:00Z"}}}}"#
        )
    }

    fn device(name: &str, cursor: u64) -> String {
        format!(
            r#"{{"device":{{"user_id":"ana","device_id":"{name}","cursor":{cursor},"last_seen_at":"2025-12-01T00:00:00Z","transport":"sse","connections":[{{"pid":"p","at":"2025-12-01T00:00:00Z"}}]}}}}"#
        )
    }

    fn inbox(user: &str, head: u64, floor: u64, confirmed: u64) -> String {
        format!(r#"{{"inbox":{{"user_id":"{user}","head":{head},"floor":{floor},"confirmed":{confirmed}}}}}"#)
    }

    fn revocation(user: &str) -> String {
        format!(r#"{{"revocation":{{"user_id":"{user}","at":"2025-12-01T00:00:00Z"}}}}"#)
    }

    fn key(key: &str) -> String {
        let fingerprint = "0f".repeat(32);
        format!(
            r#"{{"idempotency":{{"key":"{key}","fingerprint":"{fingerprint}","receipts":[{{"user_id":"ana","id":"0198c0de-0000-7000-8000-000000000001","seq":1}}],"note":"AP8=","created_at":"2025-12-31T12:00:00Z"}}}}"#
        )
    }

    /// What the last inbox came to; or the first line, from 1, that is refused and why. Past the last: what was missing
    /// at the end.
    fn take(lines: &[String]) -> Result<Recount, (usize, String)> {
        let (mut checks, mut last) = (Checks::new(NOW), Recount::default());
        for (index, line) in lines.iter().enumerate() {
            let taken = match serde_json::from_str(line) {
                Ok(record) => checks.take(&record),
                Err(error) => Err(error.to_string()),
            };
            last = taken.map_err(|detail| (index + 1, detail))?.unwrap_or(last);
        }
        checks.end().map_err(|detail| (lines.len() + 1, detail))?;
        Ok(last)
    }

    fn refused(lines: &[String], at: usize, word: &str) {
        let (line, detail) = take(lines).expect_err(word);
        assert!(line == at && detail.contains(word), "{line}: {detail}, and not {at}: {word}");
    }

    #[test]
    fn a_whole_store_passes_and_is_counted() {
        let read = item("ana", 2, 6).replace(
            r#""state":{}"#,
            r#""state":{"delivered_at":"2025-12-01T00:00:00Z","seen_at":"2025-12-01T00:00:00Z","read_at":"2025-12-01T00:00:00Z"}"#,
        );
        let archived =
            item("ana", 5, 7).replace(r#""state":{}"#, r#""state":{"archived_at":"2025-12-01T00:00:00Z"}"#);
        let expiring = item("ana", 8, 8)
            .replace(r#""state""#, r#""expires_at":"1970-01-01T00:00:09Z","collapse_key":"k","state""#);
        let lines = [
            read,
            tombstone(3, 6),
            archived,
            expiring,
            device("laptop", 8),
            device("phone", 0),
            inbox("ana", 9, 1, 6),
        ];
        let recount = take(&lines).unwrap();
        assert_eq!(recount.counts, Counts { total: 2, unread: 1, unseen: 1 });
        assert_eq!(recount.next_expiry, Some(Timestamp::from_millis(9_000)));
        assert_eq!(recount.settled, 6);

        let rest = [inbox("bo", 3, 3, 0), revocation("ana"), revocation("zoe"), key("a"), key("b")];
        let recount = take(&[lines.as_slice(), rest.as_slice()].concat()).unwrap();
        assert_eq!(recount, Recount { settled: 3, ..Recount::default() });
    }

    #[test]
    fn what_is_out_of_order_or_there_twice_is_refused() {
        refused(&[item("ana", 1, 1), item("ana", 1, 2)], 2, "seq");
        refused(&[item("ana", 1, 1), item("bo", 1, 1)], 2, "the inbox of ana");
        refused(&[item("ana", 1, 1), inbox("bo", 1, 0, 0)], 2, "the inbox of ana");
        refused(&[item("ana", 1, 1), revocation("ana")], 2, "the inbox of ana");
        refused(&[item("ana", 1, 1), key("k")], 2, "the inbox of ana");
        refused(&[item("ana", 1, 1)], 2, "the inbox of ana");
        refused(&[inbox("ana", 0, 0, 0), inbox("ana", 0, 0, 0)], 2, "user_id");
        refused(&[inbox("bo", 0, 0, 0), item("ana", 1, 1)], 2, "user_id");
        refused(&[device("phone", 0), device("phone", 0)], 2, "device_id");
        refused(&[device("phone", 0), item("ana", 1, 1)], 2, "before its devices");
        refused(&[revocation("ana"), revocation("ana")], 2, "user_id");
        refused(&[revocation("ana"), inbox("bo", 0, 0, 0)], 2, "inboxes come first");
        refused(&[key("k"), key("k")], 2, "key");
        refused(&[key("k"), revocation("ana")], 2, "ended sessions come before");
    }

    #[test]
    fn revisions_that_cannot_be_are_refused() {
        refused(&[item("ana", 0, 0)], 1, "seq");
        refused(&[item("ana", 2, 1)], 1, "rev");
        refused(&[item("ana", 1, MAX_REVISION + 1)], 1, "rev");
        refused(&[tombstone(2, 2)], 1, "a revision of its own");
        refused(&[item("ana", 1, 3), item("ana", 2, 2), item("ana", 3, 3)], 3, "revision 3 created");
        refused(&[tombstone(1, 3), tombstone(2, 4), item("ana", 3, 5)], 3, "revision 3 created");
        refused(&[item("ana", 1, 3), inbox("ana", 2, 0, 0)], 2, "a revision of the inbox is 3");
        refused(&[device("phone", 3), inbox("ana", 2, 0, 0)], 2, "a revision of the inbox is 3");
        refused(&[inbox("ana", 2, 3, 0)], 1, "floor is 3");
        refused(&[inbox("ana", 2, 0, 3)], 1, "confirmed is 3");
        refused(&[inbox("ana", MAX_REVISION + 1, 0, 0)], 1, "head");
        refused(&[key("k").replace(r#""seq":1"#, r#""seq":0"#)], 1, "seq");
        // Of several that were changed together the revision is the same.
        take(&[item("ana", 1, 3), item("ana", 2, 3), inbox("ana", 3, 0, 0)]).unwrap();
    }

    #[test]
    fn fields_that_cannot_be_are_refused() {
        let item = item("ana", 1, 1);
        let changed = |from: &str, to: &str| {
            assert!(item.contains(from), "{from}");
            [item.replacen(from, to, 1)]
        };
        let long = |bytes| "x".repeat(bytes);
        refused(&changed(r#""m""#, r#""""#), 1, "message");
        refused(&changed(r#""m""#, &format!("\"{}\"", long(4_097))), 1, "message");
        refused(&changed(r#""data":{}"#, r#""data":[]"#), 1, "data");
        refused(&changed(r#""url":null"#, r#""url":"javascript:x""#), 1, "url");
        refused(&changed(r#""ana""#, &format!("\"{}\"", long(129))), 1, "user_id");
        refused(&changed("0198c0de-", "0198c0de"), 1, "UUID");
        refused(&changed("2025-12-01T00:00:00Z", "yesterday"), 1, "RFC 3339");
        refused(&changed("2025-12-01", "1969-12-01"), 1, "created_at");
        refused(&changed("2025-12-01", "2026-01-03"), 1, "created_at");
        refused(&changed(r#""state":{}"#, r#""state":{"read_at":"2025-12-01T00:00:00Z"}"#), 1, "seen");
        refused(&changed(r#""state":{}"#, r#""state":{"lost_at":null}"#), 1, "lost_at");
        refused(&changed(r#""state""#, r#""collapse_key":"","state""#), 1, "collapse_key");
        refused(&changed(r#""state""#, r#""deleted_at":null,"state""#), 1, "deleted_at");
        refused(&changed(r#""seq":1"#, r#""seq":1,"seq":1"#), 1, "duplicate");
        refused(&changed(r#""seq":1"#, r#""seq":-1"#), 1, "u64");
        refused(&[device("phone", 0).replace("sse", "smoke")], 1, "transport");
        refused(&[device("phone", 0).replace(r#""p""#, r#""""#)], 1, "pid");
        refused(&[device("phone", 0).replace("2025-12-01", "2027-12-01")], 1, "future");
        refused(&[revocation("ana").replace("2025-12-01", "2027-12-01")], 1, "future");
        refused(&[tombstone(1, 2).replace("2025-12-02", "2027-12-01")], 1, "deleted_at");
        refused(&[key("")], 1, "key");
        refused(&[key(&long(256))], 1, "key");
        refused(&[key("k").replace("0f0f", "0F0F")], 1, "hexadecimal");
        refused(&[key("k").replace("AP8=", "AP8")], 1, "base64");
        let pids = r#"{"pid":"q","at":"2025-12-01T00:00:00Z"},"#.repeat(CONNECTIONS);
        refused(&[device("phone", 0).replace(r#"[{"#, &format!("[{pids}{{"))], 1, "connections");
    }
}
