use super::Factory;
use super::fixture::{DAY, Fixture, RETENTION, SECOND, marked, numbers, user};
use crate::{ChangesQuery, Edit, Resync, StoreError, Sweep};
use tidings_domain::{Entry, MarkOp, MarkTarget};

pub async fn old_ones_are_deleted_then_removed(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let old = it.send("ana", "old").await.id;
    it.clock.advance(RETENTION - DAY);
    let young = it.send("ana", "young").await.id;
    it.heard();
    assert_eq!(it.sweep().await, Default::default());
    it.clock.advance(DAY + SECOND);
    assert_eq!(it.sweep().await.retired, 1);
    let heard = it.heard();
    assert_eq!((heard.len(), heard[0].rev, heard[0].counts), (1, 3, numbers(1, 1, 1)));
    assert_eq!(marked(&heard[0]), (MarkOp::Delete, MarkTarget::Ids(vec![old]), None));
    assert!(it.get(old).await.is_none() && it.get(young).await.is_some());
    let log = it.changes("ana", 1, 10).await;
    assert!(log.iter().any(|entry| matches!(entry, Entry::Deleted(tombstone) if tombstone.id == old)));
    it.audit("ana").await;

    // As a tombstone it is kept as long again.
    it.clock.advance(RETENTION - DAY);
    assert_eq!(it.sweep().await.purged, 0);
    it.clock.advance(DAY + SECOND);
    assert_eq!(it.sweep().await.purged, 1);
    it.audit("ana").await;
}

pub async fn the_floor_rises_to_what_was_removed(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 2).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    it.mark("ana", MarkOp::Delete, &ids[..1]).await;
    it.clock.advance(RETENTION - DAY);
    it.send("ana", "young").await;
    it.clock.advance(DAY * 2);
    let swept = it.sweep().await;
    assert_eq!((swept.retired, swept.purged), (1, 1));
    let at = it.store.locate(&user("ana"), None).await.unwrap();
    assert_eq!((at.floor, at.head), (3, 5));
    let log = it.changes("ana", 3, 10).await;
    assert_eq!(log.iter().map(|entry| (entry.seq(), entry.rev())).collect::<Vec<_>>(), [(4, 4), (2, 5)]);
    assert_eq!(it.store.reach_back(&user("ana"), 1_000).await.unwrap(), 3, "at least the floor");
    it.audit("ana").await;
}

pub async fn a_cursor_below_the_floor_must_resync(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.mark("ana", MarkOp::Delete, &[id]).await;
    it.send("ana", "stays").await;
    it.clock.advance(RETENTION + SECOND);
    it.sweep().await;
    let floor = it.store.locate(&user("ana"), None).await.unwrap().floor;
    assert_eq!(floor, 2);
    for cursor in [0, 1] {
        let refused = it.store.changes(&user("ana"), ChangesQuery::new(cursor, 10)).await.unwrap_err();
        assert_eq!(refused, StoreError::ResyncRequired(Resync::BelowFloor));
    }
    assert!(it.store.changes(&user("ana"), ChangesQuery::new(floor, 10)).await.is_ok());
}

pub async fn archived_ones_go_too(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.mark("ana", MarkOp::Archive, &[id]).await;
    it.clock.advance(RETENTION + SECOND);
    assert_eq!(it.sweep().await.retired, 1);
    assert!(it.get(id).await.is_none());
    assert_eq!(it.counts("ana").await, numbers(0, 0, 0));
    it.audit("ana").await;
}

pub async fn slices_end_and_say_so(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let outgoing = (0..50).map(|n| it.outgoing(if n % 3 == 0 { "ana" } else { "bo" }, "m")).collect();
    it.append(outgoing).await;
    it.clock.advance(RETENTION + SECOND);
    it.heard();
    let first = it.store.sweep(Sweep { retention: RETENTION, limit: 7 }).await.unwrap();
    assert!(first.more && (1..=7).contains(&first.retired), "{first:?}");
    it.audit("bo").await;
    assert_eq!(first.retired + it.sweep_by(7).await.retired, 50);
    assert_eq!((it.counts("ana").await.total, it.counts("bo").await.total), (0, 0));
    it.audit("ana").await;
    it.clock.advance(RETENTION + SECOND);
    assert_eq!(it.sweep_by(7).await.purged, 50);
    it.audit("ana").await;
    it.heard();
}

pub async fn numbering_goes_on_after_everything_is_gone(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 3).await;
    it.clock.advance(RETENTION + SECOND);
    it.sweep().await;
    it.clock.advance(RETENTION + SECOND);
    it.sweep().await;
    let at = it.store.locate(&user("ana"), None).await.unwrap();
    assert_eq!((at.head, at.floor), (4, 4));
    assert!(it.changes("ana", 4, 10).await.is_empty());
    let next = it.send("ana", "again").await;
    assert_eq!(next.seq, 5);
    assert_eq!((it.counts("ana").await, it.listed("ana").await), (numbers(1, 1, 1), vec![5]));
    it.audit("ana").await;
    // And what comes after is kept, and goes, as everything else.
    it.clock.advance(RETENTION + SECOND);
    assert_eq!(it.sweep().await.retired, 1);
    it.audit("ana").await;
}

pub async fn an_edit_or_a_mark_does_not_make_young(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.clock.advance(RETENTION - SECOND);
    let edit = Edit { message: Some("edited".into()), ..Edit::default() };
    it.store.edit(id, edit).await.unwrap().unwrap();
    it.mark("ana", MarkOp::Read, &[id]).await;
    it.clock.advance(SECOND * 2);
    assert_eq!(it.sweep().await.retired, 1);
    it.audit("ana").await;
}
