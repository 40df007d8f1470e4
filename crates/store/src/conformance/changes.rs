use super::Factory;
use super::fixture::{Fixture, device, numbers, user};
use crate::{ChangesQuery, Inside, Registration, Resync, StoreError};
use tidings_domain::{Entry, MarkOp};

fn log(entries: &[Entry]) -> Vec<(u64, u64)> {
    entries.iter().map(|entry| (entry.seq(), entry.rev())).collect()
}

/// 1..=6 were sent; 7: 2 and 4 read; 8: 1 deleted; 9: 2 archived; 10 sent.
async fn some(it: &Fixture) {
    let ids = it.send_many("ana", 6).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    it.mark("ana", MarkOp::Read, &[ids[3], ids[1]]).await;
    it.mark("ana", MarkOp::Delete, &[ids[0]]).await;
    it.mark("ana", MarkOp::Archive, &[ids[1]]).await;
    it.send("ana", "last").await;
}

pub async fn come_in_order_of_revision(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    some(&it).await;
    let all = it.store.changes(&user("ana"), ChangesQuery::new(0, 100)).await.unwrap();
    assert_eq!(log(&all.entries), [(3, 3), (5, 5), (6, 6), (4, 7), (1, 8), (2, 9), (10, 10)]);
    assert_eq!((all.cursor, all.head, all.has_more), (10, 10, false));
    assert_eq!(all.counts, it.counts("ana").await);
}

pub async fn what_changed_twice_comes_once(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.mark("ana", MarkOp::Read, &[id]).await;
    it.mark("ana", MarkOp::Archive, &[id]).await;
    for since in [0, 1, 2] {
        let [Entry::Live(last)] = &it.changes("ana", since, 10).await[..] else { panic!("one entry") };
        assert_eq!((last.seq, last.rev), (1, 3));
        assert!(last.state.read_at.is_some() && last.state.archived_at.is_some());
    }
}

pub async fn never_cut_a_revision(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 5).await;
    it.mark_up_to("ana", MarkOp::Read, 4).await;
    it.send("ana", "last").await;
    // 5, then 1..=4 as revision 6, then 7.
    let whose = user("ana");
    for limit in [2, 3, 4] {
        let page = it.store.changes(&whose, ChangesQuery::new(0, limit)).await.unwrap();
        assert_eq!((page.entries.len(), page.cursor, page.has_more), (5, 6, true), "{limit}");
    }
    let page = it.store.changes(&whose, ChangesQuery::new(0, 1)).await.unwrap();
    assert_eq!((log(&page.entries), page.cursor, page.has_more), (vec![(5, 5)], 5, true));
    let page = it.store.changes(&whose, ChangesQuery::new(5, 1)).await.unwrap();
    assert_eq!((page.entries.len(), page.cursor, page.has_more), (4, 6, true));
    let page = it.store.changes(&whose, ChangesQuery::new(6, 1)).await.unwrap();
    assert_eq!((log(&page.entries), page.cursor, page.has_more), (vec![(7, 7)], 7, false));
}

/// 1..=6 were sent, and marked read as 7.
async fn one_large_revision(it: &Fixture) {
    it.send_many("ana", 6).await;
    it.mark_up_to("ana", MarkOp::Read, 6).await;
}

pub async fn a_page_is_bounded_by_bytes(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 6).await;
    let size = it.changes("ana", 0, 1).await[0].wire_size();
    // The last item is the one that reaches the bound.
    for (bytes, expected) in [(1, 1), (size, 1), (size + 1, 2), (3 * size, 3), (usize::MAX, 6)] {
        let query = ChangesQuery { bytes, ..ChangesQuery::new(0, 100) };
        let page = it.store.changes(&user("ana"), query).await.unwrap();
        assert_eq!(page.entries.len(), expected, "{bytes}");
        assert_eq!((page.cursor, page.next, page.has_more), (expected as u64, None, expected < 6));
    }
}

pub async fn a_revision_larger_than_a_page_comes_in_pieces(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 6).await;
    it.mark_up_to("ana", MarkOp::Read, 5).await;
    let whose = user("ana");
    // 6 is whole. It is followed by 1..=5 as revision 7, which cannot share its page.
    let size = it.changes("ana", 0, 100).await[1].wire_size();
    let mut query = ChangesQuery { bytes: 2 * size, ..ChangesQuery::new(0, 100) };
    let page = it.store.changes(&whose, query).await.unwrap();
    assert_eq!((log(&page.entries), page.cursor, page.next), (vec![(6, 6)], 6, None));
    query.since = 6;
    for (pieces, next) in
        [(vec![(1, 7), (2, 7)], Some(2)), (vec![(3, 7), (4, 7)], Some(4)), (vec![(5, 7)], None)]
    {
        let page = it.store.changes(&whose, query).await.unwrap();
        let next = next.map(|seq| Inside { rev: 7, seq });
        assert_eq!((log(&page.entries), page.next, page.has_more), (pieces, next, next.is_some()));
        assert_eq!(page.cursor, if next.is_some() { 6 } else { 7 });
        query.inside = next;
    }
}

pub async fn what_moves_away_between_two_pieces_comes_later(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    one_large_revision(&it).await;
    let whose = user("ana");
    let query = ChangesQuery { bytes: 1, ..ChangesQuery::new(6, 100) };
    let page = it.store.changes(&whose, query).await.unwrap();
    assert_eq!((log(&page.entries), page.next), (vec![(1, 7)], Some(Inside { rev: 7, seq: 1 })));
    it.mark_up_to("ana", MarkOp::Unread, 5).await;
    let rest = ChangesQuery { inside: page.next, ..ChangesQuery::new(6, 100) };
    let page = it.store.changes(&whose, rest).await.unwrap();
    assert_eq!((log(&page.entries), page.cursor, page.next, page.has_more), (vec![(6, 7)], 7, None, true));
    let above = it.store.changes(&whose, ChangesQuery::new(7, 100)).await.unwrap();
    assert_eq!(log(&above.entries), [(1, 8), (2, 8), (3, 8), (4, 8), (5, 8)]);
}

pub async fn a_place_within_what_does_not_exist_is_refused(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    one_large_revision(&it).await;
    let query = ChangesQuery { inside: Some(Inside { rev: 8, seq: 1 }), ..ChangesQuery::new(6, 100) };
    let refused = it.store.changes(&user("ana"), query).await.unwrap_err();
    assert_eq!(refused, StoreError::ResyncRequired(Resync::AboveHead));
}

pub async fn what_moved_is_known_by_where_it_was_created(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    some(&it).await;
    let whose = user("ana");
    for (since, up_to, expected) in [
        (0, 6, vec![2, 4]),
        (0, 3, vec![2]),
        (2, 6, vec![4]),
        (0, 7, vec![2]),
        (0, 9, vec![]),
        (6, 6, vec![]),
    ] {
        assert_eq!(it.store.moved(&whose, since, up_to).await.unwrap(), expected, "{since} to {up_to}");
    }
    assert!(it.store.moved(&user("nobody"), 0, 10).await.unwrap().is_empty());
}

pub async fn a_note_of_a_resume_stays_with_its_device(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send("ana", "m").await;
    let (whose, phone) = (user("ana"), device("phone"));
    it.store.note_resume(&whose, &phone, "unknown device".to_owned()).await.unwrap();
    assert_eq!(it.store.locate(&whose, Some(&phone)).await.unwrap().device, None);
    let registration = Registration { device_id: phone.clone(), pid: None, start: 0, transport: "websocket" };
    it.store.register(&whose, registration.clone()).await.unwrap();
    assert_eq!(it.store.locate(&whose, Some(&phone)).await.unwrap().resume, None);
    for note in ["1-3", "2"] {
        it.store.note_resume(&whose, &phone, note.to_owned()).await.unwrap();
        it.store.register(&whose, registration.clone()).await.unwrap();
        it.store.acknowledge(&whose, Some(&phone), 0, 1).await.unwrap();
        let it = it.store.locate(&whose, Some(&phone)).await.unwrap();
        assert_eq!((it.resume.as_deref(), it.device), (Some(note), Some(1)));
    }
}

pub async fn are_complete_page_by_page(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    some(&it).await;
    let whole = it.store.changes(&user("ana"), ChangesQuery::new(0, 1_000)).await.unwrap().entries;
    for since in 0..=10 {
        let expected: Vec<_> = log(&whole).into_iter().filter(|(_, rev)| *rev > since).collect();
        for limit in [0, 1, 2, 3, 100, usize::MAX] {
            assert_eq!(
                log(&it.changes("ana", since, limit).await),
                expected,
                "since {since}, {limit} at a time"
            );
        }
    }
}

pub async fn refuse_a_cursor_above_the_head(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 2).await;
    let whose = user("ana");
    assert!(it.store.changes(&whose, ChangesQuery::new(2, 10)).await.unwrap().entries.is_empty());
    for since in [3, u64::MAX] {
        let refused = it.store.changes(&whose, ChangesQuery::new(since, 10)).await.unwrap_err();
        assert_eq!(refused, StoreError::ResyncRequired(Resync::AboveHead));
    }
    let refused = it.store.changes(&user("nobody"), ChangesQuery::new(1, 10)).await.unwrap_err();
    assert_eq!(refused, StoreError::ResyncRequired(Resync::AboveHead));
}

pub async fn of_nothing_are_empty(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let none = it.store.changes(&user("nobody"), ChangesQuery::new(0, 10)).await.unwrap();
    assert!(none.entries.is_empty() && !none.has_more);
    assert_eq!((none.cursor, none.head, none.counts), (0, 0, numbers(0, 0, 0)));
}

pub async fn end_at_the_head(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    some(&it).await;
    for since in 0..=10 {
        let page = it.store.changes(&user("ana"), ChangesQuery::new(since, 100)).await.unwrap();
        assert_eq!((page.cursor, page.head, page.has_more), (10, 10, false));
    }
}

pub async fn tombstones_are_among_them(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    some(&it).await;
    let deleted: Vec<_> = it
        .changes("ana", 0, 3)
        .await
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Deleted(tombstone) => Some((tombstone.seq, tombstone.rev)),
            Entry::Live(_) => None,
        })
        .collect();
    assert_eq!(deleted, [(1, 8)]);
}

pub async fn behind_counts_up_to_its_cap(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    some(&it).await;
    let revs = [3, 5, 6, 7, 8, 9, 10];
    let whose = user("ana");
    for since in 0..=12 {
        let above = revs.iter().filter(|rev| **rev > since).count() as u64;
        for cap in 0..=8 {
            assert_eq!(it.store.behind(&whose, since, cap).await.unwrap(), above.min(cap), "{since}, {cap}");
        }
        assert_eq!(it.store.behind(&whose, since, u64::MAX).await.unwrap(), above);
    }
    assert_eq!(it.store.behind(&user("nobody"), 0, 10).await.unwrap(), 0);
}

pub async fn reach_back_is_the_smallest_cursor(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    some(&it).await;
    let whose = user("ana");
    for (reach, cursor) in [10, 9, 8, 7, 6, 5, 3, 0, 0].into_iter().enumerate() {
        assert_eq!(it.store.reach_back(&whose, reach as u64).await.unwrap(), cursor, "{reach}");
    }
    assert_eq!(it.store.reach_back(&whose, u64::MAX).await.unwrap(), 0);
    // A revision of many is within reach whole or not at all.
    it.mark_up_to("ana", MarkOp::Unread, u64::MAX).await;
    it.mark_up_to("ana", MarkOp::Read, u64::MAX).await;
    assert_eq!(it.store.reach_back(&whose, 4).await.unwrap(), it.head("ana").await);
    assert_eq!(it.store.reach_back(&user("nobody"), 10).await.unwrap(), 0);
}

pub async fn huge_cursors_are_only_above_the_head(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 2).await;
    let whose = user("ana");
    for rev in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let refused = it.store.changes(&whose, ChangesQuery::new(rev, usize::MAX)).await.unwrap_err();
        assert_eq!(refused, StoreError::ResyncRequired(Resync::AboveHead));
        let refused = it.store.acknowledge(&whose, None, rev, rev).await.unwrap_err();
        assert_eq!(refused, StoreError::AboveHead { head: 2 });
        assert_eq!(it.store.behind(&whose, rev, u64::MAX).await.unwrap(), 0);
        assert_eq!(it.store.reach_back(&whose, rev).await.unwrap(), 0);
        assert_eq!(it.mark_up_to("ana", MarkOp::Unread, rev).await.changed, 0);
    }
    it.audit("ana").await;
}
