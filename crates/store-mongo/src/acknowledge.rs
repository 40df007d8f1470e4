//! Acknowledgements, written together: at a thousand deliveries a second as many devices confirm.
//!
//! They change no revision and need no turn: what they set only ever grows, and what they make delivered lies at or below
//! what they confirm, where nothing new appears. Every live notification with a revision at or below the inbox's `settled`
//! is delivered, so one that reaches down to it writes only what lies above; `settled` is raised after that is written.

use crate::documents::{INBOXES, PROGRESS, Progress, between, bound, date, device_key, number};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::register::{DEVICES, trim_devices};
use crate::schema::LOG;
use crate::tx::Tx;
use crate::writes::Writes;
use futures_util::{StreamExt, stream};
use mongodb::bson::{Document, doc};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidings_domain::{DeviceId, Revision, UserId};
use tidings_store::{Recent, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How many are written together, at least and at most: more where a group is quickly written, fewer where it takes long.
const SMALLEST: usize = 8;
const LARGEST: usize = 256;
const LONG: Duration = Duration::from_millis(200);

/// How many wait at most.
const WAITING: usize = 16_384;

/// How many inboxes are looked up at once.
const LOOKUPS: usize = 16;

/// Of how many users it is remembered how far their devices have come; one costs about 500 bytes.
const KNOWN: usize = 50_000;

/// Of how many devices, of all users together; one costs about 250 bytes.
const KNOWN_DEVICES: usize = 100_000;

/// One acknowledgement, and who waits for its answer.
pub(crate) struct Acknowledge {
    pub user: UserId,
    pub device: Option<DeviceId>,
    pub after: Revision,
    pub up_to: Revision,
    pub answer: oneshot::Sender<Result<Revision, StoreError>>,
}

/// How far devices have come, as far as this node knows; they may be further.
#[derive(Debug, Default)]
pub(crate) struct Confirmed(Mutex<All>);

#[derive(Debug)]
struct All {
    users: Recent<UserId, Known>,
    /// With the number of the user's entry that it belongs to: what belongs to an earlier one is not believed.
    devices: Recent<(UserId, DeviceId), (u64, Revision)>,
    /// How many entries of users were made.
    made: u64,
}

impl Default for All {
    fn default() -> Self {
        Self { users: Recent::new(KNOWN), devices: Recent::new(KNOWN_DEVICES), made: 0 }
    }
}

/// What is known of one user. Several paths make an entry, and each fills only what it has learned: a part that nobody has
/// filled is absent, never zero, so that no other path believes it.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// The number of this entry.
    number: u64,
    /// Absent: not read yet.
    progress: Option<Progress>,
    /// How many devices the user has, with those that this node has made since it counted them. Absent: not counted yet.
    count: Option<usize>,
}

impl All {
    /// The user's entry, made when there is none.
    fn user(&mut self, user: &UserId) -> &mut Known {
        let made = &mut self.made;
        self.users.get_or_insert_with(user, || {
            *made += 1;
            Known { number: *made, progress: None, count: None }
        })
    }

    /// How far the inbox and this device of it have come, if both are known.
    fn both(&mut self, user: &UserId, device: &DeviceId) -> Option<(Progress, Revision)> {
        let known = *self.users.get(user)?;
        let (number, cursor) = *self.devices.get(&(user.clone(), device.clone()))?;
        (number == known.number).then_some((known.progress?, cursor))
    }

    /// The database says so.
    fn read(&mut self, user: &UserId, read: Progress, device: Option<(&DeviceId, Revision)>) {
        let known = self.user(user);
        let progress = known.progress.get_or_insert(read);
        progress.settled = progress.settled.max(read.settled);
        progress.confirmed = progress.confirmed.max(read.confirmed);
        let number = known.number;
        if let Some((device, cursor)) = device {
            self.device(user, number, device, cursor);
        }
    }

    /// A device has come so far.
    fn device(&mut self, user: &UserId, number: u64, device: &DeviceId, cursor: Revision) {
        let known = self.devices.get_or_insert_with(&(user.clone(), device.clone()), || (number, cursor));
        let before = if known.0 == number { known.1 } else { 0 };
        *known = (number, cursor.max(before));
    }
}

impl Confirmed {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is written. A change says only what it moves, so it makes no entry: what it does not move would be missing there.
    fn learn(&self, user: &UserId, change: &Change) {
        let mut all = self.lock();
        let Some(known) = all.users.get(user) else { return };
        if let Some(progress) = &mut known.progress {
            progress.settled = progress.settled.max(change.progress.settled);
            progress.confirmed = progress.confirmed.max(change.progress.confirmed);
        }
        let number = known.number;
        for (device, cursor) in &change.devices {
            all.device(user, number, device, *cursor);
        }
    }

    /// A device was made. Whether the user's devices should be counted: they are not known, or too many.
    pub(crate) fn should_count(&self, user: &UserId) -> bool {
        let mut all = self.lock();
        match &mut all.user(user).count {
            Some(count) if *count < DEVICES => {
                *count += 1;
                *count > DEVICES
            }
            _ => true,
        }
    }

    /// They were counted.
    pub(crate) fn counted(&self, user: &UserId, count: usize) {
        self.lock().user(user).count = Some(count);
    }

    /// A device was forgotten, or may have been.
    pub(crate) fn forget(&self, user: &UserId) {
        self.lock().users.remove(user);
    }
}

/// Those that wait.
pub(crate) struct Queue {
    sender: Mutex<Option<mpsc::Sender<Acknowledge>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// Begins to write what is pushed.
pub(crate) fn start(mongo: Arc<Mongo>) -> Queue {
    let (sender, mut waiting) = mpsc::channel(WAITING);
    let worker = tokio::spawn(async move {
        let (mut group, mut size) = (Vec::new(), SMALLEST);
        while waiting.recv_many(&mut group, size).await > 0 {
            let began = Instant::now();
            acknowledge(&mongo, std::mem::take(&mut group)).await;
            let took = began.elapsed();
            size = if took < LONG { size * 2 } else { size / 2 }.clamp(SMALLEST, LARGEST);
            // Who waits for news comes before who confirms it: half of the time is left to the others.
            sleep(took.min(LONG)).await;
        }
    });
    Queue { sender: Mutex::new(Some(sender)), worker: Mutex::new(Some(worker)) }
}

impl Queue {
    pub(crate) fn push(&self, one: Acknowledge) -> Result<(), StoreError> {
        let unavailable = |text: &str| StoreError::Unavailable(text.to_owned());
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or_else(|| unavailable("the store is closed"))?;
        sender.try_send(one).map_err(|_| unavailable("too many acknowledgements are waiting"))
    }

    /// Whether what waits is not written any more.
    pub(crate) fn has_ended(&self) -> bool {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        worker.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Writes what waits, and takes no more.
    pub(crate) async fn close(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            let _ = worker.await;
        }
    }
}

/// Writes a group of them and answers each.
async fn acknowledge(mongo: &Mongo, group: Vec<Acknowledge>) {
    let done = mongo.patiently(|| write(mongo, &group)).await;
    match done {
        Ok(answers) => {
            for (one, answer) in group.into_iter().zip(answers) {
                let _ = one.answer.send(answer);
            }
        }
        Err(error) => {
            for one in group {
                let _ = one.answer.send(Err(error.clone()));
            }
        }
    }
}

/// What a group does to one inbox.
#[derive(Default)]
struct Change {
    /// What becomes delivered: above, up to.
    stretches: Vec<(Revision, Revision)>,
    progress: Progress,
    devices: BTreeMap<DeviceId, Revision>,
}

async fn write(mongo: &Mongo, group: &[Acknowledge]) -> Result<Vec<Result<Revision, StoreError>>, Failure> {
    let lookups: Vec<_> = group.iter().map(|one| look_up(mongo, one)).collect();
    let looked_up: Vec<Result<LookedUp, Failure>> = stream::iter(lookups).buffered(LOOKUPS).collect().await;
    let mut inboxes: BTreeMap<&UserId, Change> = BTreeMap::new();
    let mut answers = Vec::with_capacity(group.len());
    for (one, looked_up) in group.iter().zip(looked_up) {
        let LookedUp { head, progress, cursor } = match looked_up {
            Ok(looked_up) => looked_up,
            Err(failure) if failure.is_of_one_inbox() => {
                answers.push(Err(failure.into_store_error()));
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if one.up_to > head {
            answers.push(Err(StoreError::AboveHead { head }));
            continue;
        }
        let (settled, confirmed) = (number(progress.settled), number(progress.confirmed));
        if head == 0 {
            // Nothing is kept of an inbox that has nothing.
            if let Some(device) = &one.device {
                mongo.visitors.confirmed_nothing(&one.user, device, mongo.now());
            }
            answers.push(Ok(0));
            continue;
        }
        let change = inboxes.entry(&one.user).or_default();
        let above = one.after.max(settled);
        if above < one.up_to {
            change.stretches.push((above, one.up_to));
        }
        if one.after <= settled && one.up_to > settled {
            change.progress.settled = change.progress.settled.max(bound(one.up_to));
        }
        if one.up_to > confirmed {
            change.progress.confirmed = change.progress.confirmed.max(bound(one.up_to));
        }
        let answer = match &one.device {
            Some(device) => match cursor {
                Some(cursor) if cursor >= one.up_to => cursor,
                _ => {
                    let cursor = change.devices.entry(device.clone()).or_default();
                    *cursor = one.up_to.max(*cursor);
                    *cursor
                }
            },
            None => confirmed.max(one.up_to).max(number(change.progress.confirmed)),
        };
        answers.push(Ok(answer));
    }
    deliver(mongo, &inboxes).await?;
    remember(mongo, &inboxes).await?;
    Ok(answers)
}

/// Where an acknowledgement begins.
struct LookedUp {
    /// The head of its inbox, at least as far as it asks.
    head: Revision,
    progress: Progress,
    /// How far its device has come. Absent: it has none, or it is not known.
    cursor: Option<Revision>,
}

async fn look_up(mongo: &Mongo, one: &Acknowledge) -> Result<LookedUp, Failure> {
    let head = match mongo.heads.get(&one.user) {
        Some(head) if head.rev >= one.up_to && head.rev > 0 => head.rev,
        _ => mongo.head(&one.user).await?.rev,
    };
    // Its device and its inbox, as far as both are known here. Without a device the answer is what any device has, which
    // those on other nodes move: that is read.
    let known = one.device.as_ref().and_then(|device| mongo.confirmed.lock().both(&one.user, device));
    if let Some((progress, cursor)) = known {
        return Ok(LookedUp { head, progress, cursor: Some(cursor) });
    }
    let (progress, known) = standing(mongo, &one.user, one.device.as_ref()).await?;
    let cursor = known.map(|known| known.cursor);
    mongo.confirmed.lock().read(&one.user, progress, one.device.as_ref().zip(cursor));
    Ok(LookedUp { head, progress, cursor })
}

/// How far the devices of an inbox have come, and one of them.
pub(crate) async fn standing(
    mongo: &Mongo,
    user: &UserId,
    device: Option<&DeviceId>,
) -> Result<(Progress, Option<KnownDevice>), Failure> {
    let mut keys = vec![PROGRESS.to_owned()];
    keys.extend(device.map(|device| device_key(device.as_str())));
    let filter = doc! { "user_id": user.as_str(), "key": { "$in": keys } };
    let found: Vec<Standing> = Query::new(INBOXES, LOG, filter).all(mongo).await?;
    let (mut progress, mut known) = (Progress::default(), None);
    for Standing { key, confirmed, settled, floor, cursor, resume } in found {
        if key == PROGRESS {
            progress = Progress { confirmed, settled, floor };
        } else {
            let cursor = cursor.and_then(|cursor| u64::try_from(cursor).ok());
            let cursor = cursor.ok_or_else(|| Failure::Damaged(format!("{key} has no cursor")))?;
            known = Some(KnownDevice { cursor, resume });
        }
    }
    Ok((progress, known))
}

/// A [`Progress`] or a [`DeviceDocument`](crate::documents::DeviceDocument), as its key says: what one of them lacks must not
/// make it the other.
#[derive(serde::Deserialize)]
struct Standing {
    key: String,
    #[serde(default)]
    confirmed: i64,
    #[serde(default)]
    settled: i64,
    #[serde(default)]
    floor: i64,
    #[serde(default)]
    cursor: Option<i64>,
    #[serde(default)]
    resume: Option<String>,
}

/// What is known of a device.
pub(crate) struct KnownDevice {
    pub cursor: Revision,
    pub resume: Option<String>,
}

async fn deliver(mongo: &Mongo, inboxes: &BTreeMap<&UserId, Change>) -> Result<(), Failure> {
    let now = date(mongo.now());
    let mut writes = Writes::unordered();
    for (user, change) in inboxes {
        for (above, up_to) in &change.stretches {
            // Whatever lies there, and what was delivered before keeps its time: the filter says no more than the index
            // does. That a tombstone gets a time as well is seen by nobody.
            let moment = doc! {
                "$max": [now, "$created_at", "$seen_at", "$read_at", "$archived_at", "$edited_at"],
            };
            let first = doc! { "$ifNull": ["$delivered_at", moment] };
            writes.update(
                INBOXES,
                doc! {
                    "q": { "user_id": user.as_str(), "rev": between(*above, *up_to) },
                    "u": [{ "$set": { "delivered_at": first } }],
                    "multi": true,
                },
            );
        }
    }
    // Where it meets an open transaction it gives way and comes again, rather than wait inside the database for its end. Over
    // several shards that would cost more than it saves.
    if mongo.has_transactions && !mongo.is_sharded && !writes.is_empty() {
        return Tx::begin(mongo).await?.commit(writes).await;
    }
    mongo.run_all(writes).await.map(drop)
}

async fn remember(mongo: &Mongo, inboxes: &BTreeMap<&UserId, Change>) -> Result<(), Failure> {
    let now = date(mongo.now());
    let mut writes = Writes::unordered();
    for (user, change) in inboxes {
        let mut grows = Document::new();
        if change.progress.settled > 0 {
            grows.insert("settled", change.progress.settled);
        }
        if change.progress.confirmed > 0 {
            grows.insert("confirmed", change.progress.confirmed);
        }
        if !grows.is_empty() {
            writes.update(
                INBOXES,
                doc! {
                    "q": { "user_id": user.as_str(), "key": PROGRESS },
                    "u": { "$max": grows },
                    "upsert": true
                },
            );
        }
        for (device, cursor) in &change.devices {
            writes.update(
                INBOXES,
                doc! {
                    "q": { "user_id": user.as_str(), "key": device_key(device.as_str()) },
                    "u": {
                        "$max": { "cursor": bound(*cursor) },
                        "$set": { "last_seen_at": now },
                        "$setOnInsert": { "device_id": device.as_str(), "transport": "http" },
                    },
                    "upsert": true
                },
            );
        }
    }
    let made = mongo.run_all(writes).await?;
    inboxes.iter().for_each(|(user, change)| mongo.confirmed.learn(user, change));
    if made {
        for user in inboxes.iter().filter(|(_, change)| !change.devices.is_empty()).map(|(user, _)| *user) {
            trim_devices(mongo, user).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: usize) -> UserId {
        UserId::new(&format!("user-{name}")).unwrap()
    }

    fn confirmed(up_to: i64) -> Progress {
        Progress { confirmed: up_to, ..Progress::default() }
    }

    #[test]
    fn what_one_path_leaves_open_is_not_believed_by_another() {
        let (all, ana, phone) = (Confirmed::default(), user(0), DeviceId::new("phone").unwrap());
        assert!(all.should_count(&ana));
        all.counted(&ana, 1);
        let change =
            Change { progress: confirmed(2), devices: [(phone.clone(), 2)].into(), ..Change::default() };
        all.learn(&ana, &change);
        assert_eq!(all.lock().both(&ana, &phone), None, "nobody has read how far the inbox has come");
        all.lock().read(&ana, confirmed(5), None);
        assert_eq!(all.lock().both(&ana, &phone), Some((confirmed(5), 2)));
    }

    #[test]
    fn what_was_known_before_a_device_was_forgotten_is_not_believed_after() {
        let (all, ana, phone) = (Confirmed::default(), user(0), DeviceId::new("phone").unwrap());
        all.lock().read(&ana, confirmed(5), Some((&phone, 5)));
        all.forget(&ana);
        all.lock().read(&ana, confirmed(5), None);
        assert_eq!(all.lock().both(&ana, &phone), None);
    }

    #[test]
    fn it_is_bounded_on_every_path() {
        let (all, phone) = (Confirmed::default(), DeviceId::new("phone").unwrap());
        for name in 0..KNOWN + 10 {
            match name % 4 {
                0 => drop(all.should_count(&user(name))),
                1 => all.counted(&user(name), 1),
                2 => all.lock().read(&user(name), confirmed(1), Some((&phone, 1))),
                _ => all.learn(&user(name), &Change::default()),
            }
            assert!(all.lock().users.len() <= KNOWN);
        }
        let ana = user(0);
        for device in 0..KNOWN_DEVICES + 10 {
            let device = DeviceId::new(&device.to_string()).unwrap();
            all.lock().read(&ana, confirmed(1), Some((&device, 1)));
        }
        assert!(all.lock().devices.len() <= KNOWN_DEVICES);
    }
}
