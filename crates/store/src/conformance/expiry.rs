use super::Factory;
use super::fixture::{Fixture, SECOND, marked, numbers, user};
use crate::{ArchivedFilter, ChangesQuery, InboxQuery, StatusFilter};
use std::time::Duration;
use tidings_domain::{Entry, MarkOp, MarkTarget};

pub async fn is_exact_before_any_sweep(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(it.put(it.expiring("ana", "m", SECOND)).await.id);
    }
    it.put(it.in_category("ana", "stays", "orders")).await;
    let mut due = it.in_category("ana", "goes", "orders");
    due.expires_at = Some(it.now().after(SECOND));
    it.put(due).await;
    it.mark("ana", MarkOp::Read, &ids[..1]).await;
    it.mark("ana", MarkOp::Seen, &ids[1..2]).await;
    it.heard();
    let head = it.head("ana").await;
    assert_eq!(it.counts("ana").await, numbers(4, 3, 5));

    it.clock.advance(SECOND);
    let whose = user("ana");
    assert_eq!(it.counts("ana").await, numbers(1, 1, 1));
    assert_eq!(it.store.counts(&whose, Some("orders")).await.unwrap(), numbers(1, 1, 1));
    assert_eq!(it.store.locate(&whose, None).await.unwrap().counts, numbers(1, 1, 1));
    assert_eq!(it.store.changes(&whose, ChangesQuery::new(0, 10)).await.unwrap().counts, numbers(1, 1, 1));
    let page = it.store.inbox(&whose, InboxQuery { limit: 1, ..InboxQuery::default() }).await.unwrap();
    assert_eq!((page.counts, page.has_more), (numbers(1, 1, 1), false));
    for status in [StatusFilter::All, StatusFilter::Unread, StatusFilter::Unseen] {
        let query = InboxQuery { status, archived: ArchivedFilter::Include, ..InboxQuery::default() };
        assert_eq!(it.seqs("ana", query).await, [4]);
    }
    for id in ids {
        assert!(it.get(id).await.is_none());
    }
    assert!(it.heard().is_empty(), "nobody but a write takes a revision");
    assert_eq!(it.head("ana").await, head);
    it.audit("ana").await;
}

pub async fn the_sweep_takes_one_revision_an_inbox(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let mut ids = Vec::new();
    for after in [1, 2, 3] {
        ids.push(it.put(it.expiring("ana", "m", SECOND * after)).await.id);
    }
    it.send("ana", "stays").await;
    it.put(it.expiring("bo", "m", SECOND * 2)).await;
    it.heard();
    assert_eq!(it.sweep().await, Default::default(), "nothing is due");
    it.clock.advance(SECOND * 3);
    let swept = it.sweep().await;
    assert_eq!((swept.expired, swept.retired, swept.purged), (4, 0, 0));
    let heard = it.heard();
    assert_eq!(heard.len(), 2);
    let change = heard.iter().find(|change| change.user_id == user("ana")).unwrap();
    assert_eq!((change.rev, change.counts), (5, numbers(1, 1, 1)));
    let (op, MarkTarget::Ids(mut gone), None) = marked(change) else { panic!("{change:?}") };
    gone.sort();
    assert_eq!((op, gone), (MarkOp::Delete, ids));
    assert_eq!((it.head("ana").await, it.head("bo").await), (5, 2));
    assert_eq!(it.sweep().await, Default::default(), "and no more");
    it.audit("ana").await;
    it.audit("bo").await;
}

pub async fn is_not_reached_by_anything(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.put(it.expiring("ana", "m", SECOND)).await.id;
    it.clock.advance(SECOND);
    for op in MarkOp::ALL {
        assert_eq!(it.mark("ana", op, &[id]).await.changed, 0, "{op:?}");
        let done = it.mark_up_to("ana", op, u64::MAX).await;
        assert_eq!((done.changed, done.counts), (0, numbers(0, 0, 0)), "{op:?}");
    }
    assert!(it.head("ana").await <= 2, "it vanishes once");
    it.audit("ana").await;
}

pub async fn a_write_after_it_announces_exact_counts(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.put(it.expiring("ana", "m", SECOND)).await;
    let stays = it.send("ana", "stays").await.id;
    it.clock.advance(SECOND);
    it.heard();
    it.send("ana", "new").await;
    assert_eq!(it.heard().last().unwrap().counts, numbers(2, 2, 2));
    let done = it.mark("ana", MarkOp::Read, &[stays]).await;
    assert_eq!(done.counts, numbers(1, 1, 2));
    assert_eq!(it.heard().last().unwrap().counts, numbers(1, 1, 2));
    it.audit("ana").await;
}

pub async fn what_is_due_at_birth_never_counts(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send("ana", "stays").await;
    it.heard();
    let born = it.put(it.expiring("ana", "m", Duration::ZERO)).await;
    assert_eq!(born.seq, 2);
    assert_eq!(it.heard().last().unwrap().counts, numbers(1, 1, 1));
    assert_eq!(it.counts("ana").await, numbers(1, 1, 1));
    assert!(it.get(born.id).await.is_none());
    it.audit("ana").await;
    assert_eq!(it.sweep().await.expired, 1);
    it.audit("ana").await;
}

pub async fn archived_ones_vanish_without_a_count(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.put(it.expiring("ana", "m", SECOND)).await.id;
    it.send("ana", "stays").await;
    it.mark("ana", MarkOp::Archive, &[id]).await;
    it.clock.advance(SECOND);
    assert_eq!(it.counts("ana").await, numbers(1, 1, 1));
    assert!(it.get(id).await.is_none());
    assert_eq!(it.sweep().await.expired, 1);
    assert_eq!(it.counts("ana").await, numbers(1, 1, 1));
    it.audit("ana").await;
}

pub async fn the_moment_itself_is_past(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.put(it.expiring("ana", "m", SECOND)).await.id;
    it.clock.advance(SECOND - Duration::from_millis(1));
    assert!(it.get(id).await.is_some());
    assert_eq!(it.sweep().await.expired, 0);
    it.clock.advance(Duration::from_millis(1));
    assert!(it.get(id).await.is_none());
    assert_eq!(it.sweep().await.expired, 1);
}

pub async fn changes_carry_its_end(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.put(it.expiring("ana", "m", SECOND)).await.id;
    it.clock.advance(SECOND);
    // Before the sweep it comes in its present state; who reads it sees that its time is over.
    let [entry] = &it.changes("ana", 0, 10).await[..] else { panic!("one entry") };
    match entry {
        Entry::Live(notification) => assert!(notification.expires_at.unwrap() <= it.now()),
        Entry::Deleted(tombstone) => assert_eq!(tombstone.id, id),
    }
    it.sweep().await;
    let [Entry::Deleted(tombstone)] = &it.changes("ana", 1, 10).await[..] else { panic!("one tombstone") };
    assert_eq!((tombstone.id, tombstone.seq, tombstone.rev), (id, 1, 2));
}
