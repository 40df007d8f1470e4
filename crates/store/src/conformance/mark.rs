use super::Factory;
use super::fixture::{Fixture, SECOND, marked, numbers, user};
use crate::{ArchivedFilter, InboxQuery};
use tidings_domain::{Entry, Mark, MarkOp, MarkTarget, NotificationId, State};

async fn state(it: &Fixture, id: NotificationId) -> State {
    it.get(id).await.expect("a live notification").state
}

pub async fn read_implies_seen(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.clock.advance(SECOND);
    let done = it.mark("ana", MarkOp::Read, &[id]).await;
    assert_eq!((done.rev, done.changed, done.counts), (2, 1, numbers(0, 0, 1)));
    let now = Some(it.now());
    assert_eq!(state(&it, id).await, State { read_at: now, seen_at: now, ..State::default() });
    assert_eq!(it.get(id).await.unwrap().rev, 2);
    it.audit("ana").await;
}

pub async fn unread_stays_seen(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.mark("ana", MarkOp::Read, &[id]).await;
    let done = it.mark("ana", MarkOp::Unread, &[id]).await;
    assert_eq!((done.rev, done.changed, done.counts), (3, 1, numbers(1, 0, 1)));
    let state = state(&it, id).await;
    assert!(state.read_at.is_none() && state.seen_at.is_some());
    it.audit("ana").await;
}

pub async fn seen_is_not_read(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    let done = it.mark("ana", MarkOp::Seen, &[id]).await;
    assert_eq!((done.rev, done.changed, done.counts), (2, 1, numbers(1, 0, 1)));
    let state = state(&it, id).await;
    assert!(state.read_at.is_none() && state.seen_at.is_some());
    it.audit("ana").await;
}

pub async fn archiving_changes_neither_read_nor_seen(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 3).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    it.mark("ana", MarkOp::Read, &ids[..1]).await;
    it.mark("ana", MarkOp::Seen, &ids[1..2]).await;
    let before = [state(&it, ids[0]).await, state(&it, ids[1]).await, state(&it, ids[2]).await];
    let done = it.mark("ana", MarkOp::Archive, &ids).await;
    assert_eq!((done.changed, done.counts), (3, numbers(0, 0, 0)));
    for (id, before) in ids.iter().zip(before) {
        assert_eq!(state(&it, *id).await, State { archived_at: Some(it.now()), ..before });
    }
    it.audit("ana").await;
}

pub async fn unarchive_counts_again_as_it_was(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 3).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    it.mark("ana", MarkOp::Archive, &ids).await;
    // What happens to it while it is archived counts when it comes back.
    it.mark("ana", MarkOp::Read, &ids[..1]).await;
    it.mark("ana", MarkOp::Seen, &ids[1..2]).await;
    assert_eq!(it.counts("ana").await, numbers(0, 0, 0));
    let done = it.mark("ana", MarkOp::Unarchive, &ids).await;
    assert_eq!((done.changed, done.counts), (3, numbers(2, 1, 3)));
    it.mark("ana", MarkOp::Unread, &ids[..1]).await;
    assert_eq!(it.counts("ana").await, numbers(3, 1, 3));
    it.audit("ana").await;
}

pub async fn delete_leaves_a_tombstone(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 2).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    let done = it.mark("ana", MarkOp::Delete, &ids[..1]).await;
    assert_eq!((done.rev, done.changed, done.counts), (3, 1, numbers(1, 1, 1)));
    assert!(it.get(ids[0]).await.is_none());
    assert_eq!(it.listed("ana").await, [2]);
    let log = it.changes("ana", 2, 10).await;
    let [Entry::Deleted(tombstone)] = log.as_slice() else { panic!("{log:?}") };
    assert_eq!((tombstone.id, tombstone.seq, tombstone.rev), (ids[0], 1, 3));
    it.audit("ana").await;
}

pub async fn twice_changes_nothing_and_takes_no_revision(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 2).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    for op in [MarkOp::Seen, MarkOp::Read, MarkOp::Unread, MarkOp::Archive, MarkOp::Unarchive, MarkOp::Delete]
    {
        let by_ids = |ids: &[NotificationId]| MarkTarget::Ids(ids.to_vec());
        let first = it.mark_with("ana", Mark { op, target: by_ids(&ids[..1]), category: None }).await;
        assert_eq!(first.changed, 1, "{op:?}");
        let up_to = it.mark_up_to("ana", op, u64::MAX).await;
        assert_eq!((up_to.rev, up_to.changed), (first.rev + 1, 1), "{op:?} of the other one");
        it.heard();
        it.clock.advance(SECOND);
        for target in [by_ids(&ids), MarkTarget::UpTo(u64::MAX)] {
            let again = it.mark_with("ana", Mark { op, target, category: None }).await;
            assert_eq!((again.rev, again.changed, again.counts), (up_to.rev, 0, up_to.counts), "{op:?}");
        }
        assert!(it.heard().is_empty());
        it.audit("ana").await;
    }
}

pub async fn up_to_reaches_what_is_not_archived(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 4).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    it.mark("ana", MarkOp::Archive, &ids[1..2]).await;
    for (op, left) in [
        (MarkOp::Seen, numbers(3, 0, 3)),
        (MarkOp::Read, numbers(0, 0, 3)),
        (MarkOp::Unread, numbers(3, 0, 3)),
        (MarkOp::Delete, numbers(0, 0, 0)),
    ] {
        let done = it.mark_up_to("ana", op, u64::MAX).await;
        assert_eq!((done.changed, done.counts), (3, left), "{op:?}");
        assert_eq!(state(&it, ids[1]).await, State { archived_at: Some(it.now()), ..State::default() });
        it.audit("ana").await;
    }
}

pub async fn unarchive_up_to_reaches_what_is_archived(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 4).await;
    assert_eq!(it.mark_up_to("ana", MarkOp::Unarchive, u64::MAX).await.changed, 0);
    assert_eq!(it.mark_up_to("ana", MarkOp::Archive, 3).await.changed, 3);
    assert_eq!(it.counts("ana").await, numbers(1, 1, 1));
    assert_eq!(it.mark_up_to("ana", MarkOp::Unarchive, 2).await.changed, 2);
    let archived = InboxQuery { archived: ArchivedFilter::Only, ..InboxQuery::default() };
    assert_eq!(it.seqs("ana", archived).await, [3]);
    assert_eq!(it.listed("ana").await, [4, 2, 1]);
    it.audit("ana").await;
}

pub async fn ids_reach_archived_ones_too(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 2).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    it.mark("ana", MarkOp::Archive, &ids[..1]).await;
    for op in [MarkOp::Seen, MarkOp::Read, MarkOp::Unread] {
        assert_eq!(it.mark("ana", op, &ids).await.changed, 2, "{op:?}");
        it.audit("ana").await;
    }
    let done = it.mark("ana", MarkOp::Delete, &ids).await;
    assert_eq!((done.changed, done.counts), (2, numbers(0, 0, 0)));
    it.audit("ana").await;
}

pub async fn up_to_stops_at_its_bound(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 5).await;
    assert_eq!(it.mark_up_to("ana", MarkOp::Read, 0).await.changed, 0);
    let done = it.mark_up_to("ana", MarkOp::Read, 3).await;
    assert_eq!((done.rev, done.changed, done.counts), (6, 3, numbers(2, 2, 5)));
    // The bound is on what created it, not on what changed it last.
    assert_eq!(it.mark_up_to("ana", MarkOp::Unread, 3).await.changed, 3);
    let done = it.mark_up_to("ana", MarkOp::Read, 4).await;
    assert_eq!((done.changed, done.counts), (4, numbers(1, 1, 5)));
    it.audit("ana").await;
}

pub async fn the_category_narrows_both_targets(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let mut ids = Vec::new();
    for category in ["orders", "news", "orders"] {
        ids.push(it.put(it.in_category("ana", "m", category)).await.id);
    }
    ids.push(it.send("ana", "none").await.id);
    let only =
        |category: &str, target| Mark { op: MarkOp::Read, target, category: Some(category.to_owned()) };
    it.heard();
    let done = it.mark_with("ana", only("orders", MarkTarget::UpTo(u64::MAX))).await;
    assert_eq!((done.changed, done.counts), (2, numbers(2, 2, 4)));
    let done = it.mark_with("ana", only("news", MarkTarget::Ids(ids.clone()))).await;
    assert_eq!((done.changed, done.counts), (1, numbers(1, 1, 4)));
    assert_eq!(it.mark_with("ana", only("absent", MarkTarget::UpTo(u64::MAX))).await.changed, 0);
    let heard = it.heard();
    assert_eq!(marked(&heard[0]), (MarkOp::Read, MarkTarget::UpTo(4), Some("orders".to_owned())));
    assert_eq!(marked(&heard[1]), (MarkOp::Read, MarkTarget::Ids(vec![ids[1]]), Some("news".to_owned())));
    assert_eq!(heard.len(), 2);
    it.audit("ana").await;
}

pub async fn unknown_foreign_and_doubled_ids_are_ignored(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let mine = it.send("ana", "m").await.id;
    let foreign = it.send("bo", "m").await.id;
    let unknown = it.new_id();
    let done = it.mark("ana", MarkOp::Read, &[unknown, foreign, mine, mine]).await;
    assert_eq!((done.rev, done.changed, done.counts), (2, 1, numbers(0, 0, 1)));
    assert_eq!(it.mark("ana", MarkOp::Delete, &[unknown, foreign]).await.changed, 0);
    assert_eq!(it.mark("ana", MarkOp::Delete, &[]).await.changed, 0);
    assert_eq!(it.counts("bo").await, numbers(1, 1, 1));
    it.audit("ana").await;
    it.audit("bo").await;
}

pub async fn what_is_deleted_is_never_reached(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    let deleted = it.mark("ana", MarkOp::Delete, &[id]).await;
    for op in MarkOp::ALL {
        assert_eq!(it.mark("ana", op, &[id]).await.changed, 0, "{op:?}");
        assert_eq!(
            it.mark_up_to("ana", op, u64::MAX).await,
            crate::Marked { changed: 0, ..deleted },
            "{op:?}"
        );
    }
    it.audit("ana").await;
}

pub async fn one_mark_takes_one_revision(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 20).await;
    assert_eq!(it.mark_up_to("ana", MarkOp::Read, u64::MAX).await.rev, 21);
    let log = it.changes("ana", 20, 5).await;
    assert_eq!(log.len(), 20);
    assert!(log.iter().all(|entry| entry.rev() == 21));
    it.audit("ana").await;
}

pub async fn the_change_carries_exactly_what_changed(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 4).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    it.mark("ana", MarkOp::Read, &ids[1..2]).await;
    it.heard();
    let done = it.mark("ana", MarkOp::Read, &[ids[3], it.new_id(), ids[1], ids[0]]).await;
    let heard = it.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].rev, heard[0].counts, &heard[0].user_id), (done.rev, done.counts, &user("ana")));
    let (op, MarkTarget::Ids(mut changed), None) = marked(&heard[0]) else { panic!("{heard:?}") };
    changed.sort();
    assert_eq!((op, changed), (MarkOp::Read, vec![ids[0], ids[3]]));
}

pub async fn the_bound_in_the_change_is_at_most_the_head(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 3).await;
    it.heard();
    it.mark_up_to("ana", MarkOp::Read, 2).await;
    it.mark_up_to("ana", MarkOp::Archive, u64::MAX).await;
    let heard = it.heard();
    assert_eq!(marked(&heard[0]), (MarkOp::Read, MarkTarget::UpTo(2), None));
    assert_eq!(marked(&heard[1]), (MarkOp::Archive, MarkTarget::UpTo(4), None));
}

pub async fn a_thousand_ids_at_once(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let outgoing = (0..1_000).map(|_| it.outgoing("ana", "m")).collect::<Vec<_>>();
    let ids: Vec<_> = outgoing.iter().map(|item| item.id).collect();
    it.append(outgoing).await;
    let done = it.mark("ana", MarkOp::Read, &ids).await;
    assert_eq!((done.rev, done.changed, done.counts), (1_001, 1_000, numbers(0, 0, 1_000)));
    it.audit("ana").await;
}

pub async fn an_unknown_inbox_is_marked_in_vain(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    for op in MarkOp::ALL {
        let done = it.mark_up_to("ana", op, u64::MAX).await;
        assert_eq!((done.rev, done.changed, done.counts), (0, 0, numbers(0, 0, 0)));
        assert_eq!(it.mark("ana", op, &[it.new_id()]).await.rev, 0);
    }
    assert!(it.heard().is_empty());
}

pub async fn a_later_mark_keeps_the_first_time(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    let first = it.now();
    it.mark("ana", MarkOp::Seen, &[id]).await;
    it.clock.advance(SECOND);
    it.mark("ana", MarkOp::Read, &[id]).await;
    let state = state(&it, id).await;
    assert_eq!((state.seen_at, state.read_at), (Some(first), Some(it.now())));
}
