//! The clock is set back, or another node's is behind: what happens to one notification has no earlier time than what
//! happened to it before.

use super::Factory;
use super::fixture::{DAY, Fixture, RETENTION, SECOND, marked, user};
use crate::{ArchivedFilter, Edit, InboxQuery};
use std::time::Duration;
use tidings_domain::{Kind, MarkOp, MarkTarget, Notification, Timestamp};

const HOUR: Duration = Duration::from_secs(3_600);

fn moments(of: &Notification) -> Vec<Timestamp> {
    let state = &of.state;
    let later = [state.delivered_at, state.seen_at, state.read_at, of.edited_at, state.archived_at];
    [Some(of.timestamp)].into_iter().chain(later).flatten().collect()
}

pub async fn of_one_notification_never_runs_backwards(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    let mut last = it.now();
    for step in 0..6 {
        // Each of them by a clock that is an hour behind the one before.
        it.clock.set_back(HOUR);
        match step {
            0 => drop(it.acknowledge("ana", "phone", 0, 1).await),
            1 => drop(it.mark("ana", MarkOp::Seen, &[id]).await),
            2 => drop(it.mark("ana", MarkOp::Read, &[id]).await),
            3 => {
                let edit = Edit { message: Some("edited".to_owned()), ..Edit::default() };
                drop(it.store.edit(id, edit).await.unwrap().unwrap());
            }
            4 => drop(it.mark_up_to("ana", MarkOp::Archive, u64::MAX).await),
            _ => {}
        }
        let told = moments(&it.get(id).await.unwrap());
        assert_eq!(told, vec![last; told.len()], "after step {step}");
    }
    // A clock that runs on is believed again.
    it.clock.advance(HOUR * 7);
    last = it.now();
    it.mark("ana", MarkOp::Unread, &[id]).await;
    it.mark("ana", MarkOp::Read, &[id]).await;
    assert_eq!(it.get(id).await.unwrap().state.read_at, Some(last));
    it.audit("ana").await;
}

pub async fn of_many_marked_at_once_never_runs_backwards(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send("ana", "old").await;
    for _ in 0..3 {
        it.clock.advance(HOUR);
        it.send("ana", "m").await;
    }
    it.clock.set_back(HOUR * 2);
    let now = it.now();
    it.heard();
    it.acknowledge("ana", "phone", 0, 4).await;
    assert_eq!(it.mark_up_to("ana", MarkOp::Read, u64::MAX).await.changed, 4);
    let heard = it.heard();
    assert_eq!(heard.len(), 1, "one revision, however many times there are");
    assert_eq!(marked(&heard[0]), (MarkOp::Read, MarkTarget::UpTo(4), None));
    for one in it.everything("ana").await {
        let moment = Some(one.timestamp.max(now));
        let state = one.state;
        assert_eq!((state.delivered_at, state.seen_at, state.read_at), (moment, moment, moment));
    }
    it.audit("ana").await;
}

/// A tombstone says only for how long it is kept: as long as any that was deleted at the latest moment of its own.
pub async fn of_what_the_upkeep_deletes_never_runs_backwards(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.clock.advance(HOUR * 2);
    it.put(it.expiring("ana", "expires", Duration::ZERO)).await;
    let recalled = it.send("ana", "recalled").await.id;
    it.clock.set_back(HOUR);
    it.store.recall(recalled).await.unwrap();
    it.clock.advance(HOUR);
    it.sweep().await;
    let query = || InboxQuery { archived: ArchivedFilter::Include, ..InboxQuery::default() };
    assert!(it.seqs("ana", query()).await.is_empty());
    it.clock.advance(RETENTION);
    assert_eq!(it.sweep().await.purged, 0, "neither is older than retention");
    it.clock.advance(Duration::from_millis(1));
    assert_eq!(it.sweep().await.purged, 2);
    // What is younger than the clock is neither retired nor lost, and goes when it is old.
    let young = it.send("ana", "young").await.id;
    it.clock.set_back(DAY);
    assert_eq!(it.sweep().await, Default::default());
    assert!(it.get(young).await.is_some());
    it.clock.advance(DAY + RETENTION + SECOND);
    assert_eq!(it.sweep().await.retired, 1);
    assert_eq!(it.store.counts(&user("ana"), None).await.unwrap().total, 0);
    it.audit("ana").await;
}

pub async fn of_an_edit_is_the_one_that_is_announced(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.clock.advance(HOUR);
    let (id, sent) = (it.send("ana", "m").await.id, it.now());
    it.clock.set_back(HOUR);
    it.heard();
    let edit = Edit { message: Some("edited".to_owned()), ..Edit::default() };
    let edited = it.store.edit(id, edit).await.unwrap().unwrap();
    let [change] = &it.heard()[..] else { panic!("one change") };
    let Kind::Edited(announced) = &change.kind else { panic!("{change:?}") };
    let stored = it.get(id).await.unwrap();
    assert_eq!([edited.edited_at, announced.edited_at, stored.edited_at], [Some(sent); 3]);
}
