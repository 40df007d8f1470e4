//! Moving everything: what comes out of one store goes through the file's form into another, which then must not be told
//! from the first by anything but its epoch.

use super::Factory;
use super::fixture::{DAY, Fixture, SECOND, device, shape, user};
use super::model::{self, CATEGORIES, DEVICES, USERS};
use crate::transfer::{
    Inbox, InboxRecord, Intake, Record, Sink, Slice, Source, Totals, TransferError, export, import,
};
use crate::{Appended, ChangesQuery, IDEMPOTENCY_TTL, Idempotency, StoreError};
use async_trait::async_trait;
use std::time::Duration;
use tidings_domain::{Entry, Mark, MarkOp, MarkTarget, Timestamp};

/// Makes stores whose contents can be moved.
#[async_trait]
pub trait Movable: Factory {
    /// Reads the store of that name, which may be open.
    async fn source(&self, name: &str, now: Timestamp) -> Box<dyn Source>;

    /// Fills the store of that name, which is not open; the error is what an operator reads.
    async fn sink(&self, name: &str) -> Result<Box<dyn Sink>, String>;

    /// Why the store of that name cannot be opened.
    async fn refusal(&self, name: &str) -> Option<String>;
}

pub(super) async fn exported(factory: &dyn Movable, it: &Fixture) -> (Vec<u8>, Totals) {
    let mut file = Vec::new();
    let mut source = factory.source(it.name(), it.now()).await;
    let size = source.size().await.unwrap();
    let mut heard = Totals::default();
    let mut progress = |totals: &Totals| heard = *totals;
    let totals = export(&mut *source, &mut file, it.now(), &mut progress).await.unwrap();
    assert_eq!((heard, size), (totals, totals.notifications + totals.tombstones));
    (file, totals)
}

pub(super) async fn imported(
    factory: &dyn Movable,
    name: &str,
    file: &[u8],
    now: Timestamp,
) -> Result<Totals, TransferError> {
    let sink = factory.sink(name).await.unwrap();
    import(&mut &file[..], sink, now, &mut |_, _| {}).await
}

/// A fixture around the store of that name, at the same moment as another.
async fn opened(factory: &dyn Movable, name: &str, at: Timestamp) -> Fixture {
    let fixture = Fixture::open_named(factory, name).await;
    let ahead = at.as_millis() - fixture.now().as_millis();
    fixture.clock.advance(Duration::from_millis(ahead as u64));
    fixture
}

async fn listed(it: &Fixture, whose: &str) -> Vec<String> {
    it.everything(whose).await.iter().map(shape).collect()
}

/// All that can be seen of a user.
async fn picture(it: &Fixture, whose: &str) -> Vec<String> {
    let name = user(whose);
    let mut seen = Vec::new();
    for notification in it.everything(whose).await {
        let alone = it.get(notification.id).await.expect("what is listed can be had alone");
        assert_eq!(shape(&alone), shape(&notification));
        seen.push(shape(&notification));
    }
    for category in CATEGORIES {
        seen.push(format!("{category:?}: {:?}", it.store.counts(&name, category).await.unwrap()));
    }
    let at = it.store.locate(&name, None).await.unwrap();
    for named in DEVICES {
        seen.push(format!("{:?}", it.store.locate(&name, Some(&device(named))).await.unwrap()));
    }
    seen.push(format!("{:?}", it.store.devices(&name).await.unwrap()));
    for since in 0..=at.head + 1 {
        seen.push(format!("above {since}: {}", it.store.behind(&name, since, u64::MAX).await.unwrap()));
        seen.push(format!("the last {since}: {}", it.store.reach_back(&name, since).await.unwrap()));
        if let Err(refused) = it.store.changes(&name, ChangesQuery::new(since, 7)).await {
            seen.push(refused.to_string());
            continue;
        }
        let mut log = it.changes(whose, since, 7).await;
        // Within a revision any order will do.
        log.sort_by_key(|entry| (entry.rev(), entry.seq()));
        seen.extend(log.iter().map(|entry| match entry {
            Entry::Live(new) => shape(new),
            Entry::Deleted(tombstone) => serde_json::to_string(tombstone).unwrap(),
        }));
    }
    seen.push(format!("{:?}", it.store.revoked_at(&name).await.unwrap()));
    seen.push(format!("{:?}", it.store.registration(&format!("pid of {whose}")).await.unwrap()));
    seen
}

async fn assert_same(one: &Fixture, other: &Fixture) {
    for whose in USERS.into_iter().chain(["nobody", "ended"]) {
        assert_eq!(picture(one, whose).await, picture(other, whose).await, "{whose}");
    }
    assert_ne!(one.store.epoch(), other.store.epoch());
}

fn key(name: &str) -> Option<Idempotency> {
    Some(Idempotency { key: name.to_owned(), fingerprint: [7; 32], note: vec![0, 255, b'"'] })
}

/// A store in which everything has happened that can.
async fn lived(factory: &dyn Movable, seed: u64, steps: u64) -> model::Run {
    let run = model::Run::lived(factory, seed, steps).await;
    let it = &run.it;
    for whose in USERS {
        it.register(whose, "phone", Some(&format!("pid of {whose}")), 0).await;
        it.register(whose, "phone", Some(&format!("second pid of {whose}")), 0).await;
    }
    it.store.revoke(&user("ended"), it.now()).await.unwrap();
    it.store.revoke(&user("ana"), it.now()).await.unwrap();
    it.store.append(vec![it.outgoing("bo", "old key")], key("old")).await.unwrap();
    it.clock.advance(IDEMPOTENCY_TTL);
    it.store.append(vec![it.outgoing("ana", "1"), it.outgoing("bo", "2")], key("new")).await.unwrap();
    run
}

pub async fn a_random_history_is_the_same_there(factory: &dyn Movable) {
    let (seeds, steps) = factory.sequences();
    for seed in 1..=seeds.div_ceil(2) {
        let run = lived(factory, seed, steps * 3 / 4).await;
        let here = &run.it;
        let (file, written) = exported(factory, here).await;
        let name = format!("there-{seed}");
        let read = imported(factory, &name, &file, here.now()).await.unwrap();
        assert_eq!(read, written);
        let there = opened(factory, &name, here.now()).await;
        assert_same(here, &there).await;

        // The same key gets the first answer; one past its time is free.
        let replayed = here.store.append(vec![here.outgoing("cy", "m")], key("new")).await.unwrap();
        assert!(matches!(&replayed, Appended::Replayed { receipts, .. } if receipts.len() == 2));
        assert_eq!(there.store.append(vec![here.outgoing("cy", "m")], key("new")).await.unwrap(), replayed);
        let other = Idempotency { fingerprint: [8; 32], ..key("new").unwrap() };
        assert_eq!(there.store.append(vec![], Some(other)).await, Err(StoreError::IdempotencyMismatch));

        // A second time round nothing is lost either, and the two files are the same but for when they were written.
        let (again, _) = exported(factory, &there).await;
        let body = |file: &[u8]| {
            let lines: Vec<_> = file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            lines[1..lines.len() - 2].to_vec()
        };
        assert_eq!(body(&again), body(&file));
        for fixture in [here, &there] {
            fixture.store.close().await;
        }
    }
}

pub async fn life_goes_on_the_same_there(factory: &dyn Movable) {
    let (seeds, steps) = factory.sequences();
    for seed in 5..5 + seeds.div_ceil(3) {
        let run = lived(factory, seed, steps * 3 / 5).await;
        let here = &run.it;
        let (file, _) = exported(factory, here).await;
        imported(factory, &format!("there-{seed}"), &file, here.now()).await.unwrap();
        let there = opened(factory, &format!("there-{seed}"), here.now()).await;
        for day in 0..24 {
            let whose = USERS[day % 3];
            // Both get the same id.
            let outgoing = vec![here.collapsing(whose, "m", "k"), here.expiring(whose, "m", 5 * DAY)];
            for it in [here, &there] {
                it.store.append(outgoing.clone(), None).await.unwrap();
                let op = MarkOp::ALL[day % 5];
                let mark = Mark { op, target: MarkTarget::UpTo(day as u64 * 3), category: None };
                it.store.mark(&user(whose), mark).await.unwrap();
                let head = it.head(whose).await;
                // By the client's word for everything, and by a receipt for what was written.
                it.acknowledge(whose, "phone", if day % 2 == 0 { 0 } else { head / 2 }, head - head / 4)
                    .await;
                it.sweep().await;
                it.audit(whose).await;
                it.clock.advance(9 * DAY + SECOND);
            }
            assert_eq!(listed(here, whose).await, listed(&there, whose).await, "{whose}, day {day}");
        }
        assert_same(here, &there).await;
        for fixture in [here, &there] {
            fixture.store.close().await;
        }
    }
}

pub async fn what_is_exported_is_of_one_moment(factory: &dyn Movable) {
    let it = Fixture::open_named(factory, "busy").await;
    it.send_many("ana", 1_200).await;
    let mut source = factory.source("busy", it.now()).await;
    let mut records = source.next().await.unwrap();
    it.mark_up_to("ana", MarkOp::Delete, 1_200).await;
    it.send("ana", "late").await;
    loop {
        let more = source.next().await.unwrap();
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    let live = records.iter().filter(|record| matches!(record, Record::Notification(_))).count();
    let head = records.iter().find_map(|record| match record {
        Record::Inbox(inbox) => Some(inbox.head),
        _ => None,
    });
    assert_eq!((live, head), (1_200, Some(1_200)));
}

pub async fn an_empty_store_is_moved_too(factory: &dyn Movable) {
    let it = Fixture::open_named(factory, "empty").await;
    let (file, totals) = exported(factory, &it).await;
    assert_eq!(totals, Totals::default());
    assert_eq!(imported(factory, "there", &file, it.now()).await.unwrap(), totals);
    let there = opened(factory, "there", it.now()).await;
    there.send("ana", "m").await;
    there.audit("ana").await;
}

pub async fn a_store_that_is_not_empty_is_refused(factory: &dyn Movable) {
    let it = Fixture::open_named(factory, "full").await;
    it.send("ana", "m").await;
    it.store.close().await;
    assert!(factory.sink("full").await.is_err());
    let it = Fixture::open_named(factory, "full").await;
    assert_eq!(it.listed("ana").await, [1]);
}

pub async fn what_is_unfinished_is_not_opened_and_begun_anew(factory: &dyn Movable) {
    let run = lived(factory, 8, 60).await;
    let (file, totals) = exported(factory, &run.it).await;
    {
        // As a process leaves it that is killed: some of it is stored, and it is neither finished nor abandoned.
        let mut sink = factory.sink("there").await.unwrap();
        let record = InboxRecord { user_id: user("zoe"), head: 3, floor: 0, confirmed: 0 };
        let inbox = Inbox { record, counts: Default::default(), next_expiry: None, settled: 3 };
        let slice = Slice { inboxes: vec![inbox], ..Default::default() };
        sink.put(slice).await.unwrap();
    }
    let refusal = factory.refusal("there").await.expect("it is not opened");
    assert!(refusal.contains("import"), "{refusal}");
    assert_eq!(imported(factory, "there", &file, run.it.now()).await.unwrap(), totals);
    let there = opened(factory, "there", run.it.now()).await;
    assert_eq!(there.head("zoe").await, 0);
    assert_same(&run.it, &there).await;
}

pub async fn a_file_that_is_wrong_leaves_nothing(factory: &dyn Movable) {
    let run = lived(factory, 9, 60).await;
    let (file, totals) = exported(factory, &run.it).await;
    let now = run.it.now();
    let mut random = super::random::Random::new(9);
    let mut wrong: Vec<Vec<u8>> = vec![Vec::new(), file[..file.len() - 1].to_vec()];
    for _ in 0..20 {
        wrong.push(file[..random.below(file.len() as u64) as usize].to_vec());
        let mut mutated = file.clone();
        mutated[random.below(file.len() as u64) as usize] ^= 1 << random.below(7);
        wrong.push(mutated);
    }
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    for _ in 0..10 {
        let at = 1 + random.below(lines.len() as u64 - 1) as usize;
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        wrong.push(doubled.concat());
        let mut short = lines.clone();
        short.remove(at);
        wrong.push(short.concat());
    }
    for file in wrong {
        let refused = imported(factory, "there", &file, now).await;
        assert!(refused.is_err(), "{}", String::from_utf8_lossy(&file));
    }
    // The place is as it was: it takes the right one.
    assert_eq!(imported(factory, "there", &file, now).await.unwrap(), totals);
    assert_same(&run.it, &opened(factory, "there", now).await).await;
}

pub async fn what_a_whole_store_has_once_is_refused_twice(factory: &dyn Movable) {
    let it = Fixture::open_named(factory, "here").await;
    it.send("ana", "m").await;
    it.register("ana", "phone", Some("its pid"), 0).await;
    let mut source = factory.source("here", it.now()).await;
    let records = source.next().await.unwrap();
    let lines: Vec<String> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    let [notification, device, inbox] = lines.as_slice() else { panic!("{lines:?}") };
    for (twice, named) in [(notification, "notification"), (device, "its pid")] {
        let mut intake = Intake::new(factory.sink("there").await.unwrap(), it.now());
        let of_bo = [twice, inbox].map(|line| line.replace(r#""ana""#, r#""bo""#));
        for line in [notification, device, inbox].into_iter().chain(&of_bo) {
            intake.take(serde_json::from_str(line).unwrap()).await.unwrap();
        }
        match intake.finish().await {
            Err(TransferError::Twice(what)) => assert!(what.contains(named), "{what}"),
            other => panic!("it is there twice: {other:?}"),
        }
    }
}
