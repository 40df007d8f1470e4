use super::Factory;
use super::fixture::{Fixture, numbers, user};
use crate::{ArchivedFilter, InboxPage, InboxQuery, Range, StatusFilter};
use tidings_domain::{MarkOp, Revision};

async fn page(it: &Fixture, range: Range, limit: usize) -> InboxPage {
    it.store.inbox(&user("ana"), InboxQuery { range, limit, ..InboxQuery::default() }).await.unwrap()
}

fn seqs(page: &InboxPage) -> Vec<Revision> {
    page.notifications.iter().map(|notification| notification.seq).collect()
}

pub async fn a_page_is_bounded_by_bytes(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 5).await;
    let size = page(&it, Range::Newest, 1).await.notifications[0].wire_size();
    for (range, expected) in [(Range::Newest, [5, 4]), (Range::After(1), [3, 2])] {
        // The last item is the one that reaches the bound.
        let query = InboxQuery { range, limit: 100, bytes: size + 1, ..InboxQuery::default() };
        let page = it.store.inbox(&user("ana"), query).await.unwrap();
        assert_eq!((seqs(&page).as_slice(), page.has_more), (&expected[..], true));
    }
    let query = InboxQuery { limit: 100, bytes: 0, ..InboxQuery::default() };
    assert_eq!(seqs(&it.store.inbox(&user("ana"), query).await.unwrap()), [5]);
}

pub async fn is_newest_first(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let first = it.send_many("ana", 5).await.remove(0).id;
    // What is old stays old, whatever happens to it.
    it.mark("ana", MarkOp::Read, &[first]).await;
    assert_eq!(it.listed("ana").await, [5, 4, 3, 2, 1]);
    assert_eq!(seqs(&page(&it, Range::Newest, 2).await), [5, 4]);
}

pub async fn pages_both_ways_without_loss(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids: Vec<_> = it.send_many("ana", 11).await.into_iter().map(|receipt| receipt.id).collect();
    it.mark("ana", MarkOp::Delete, &ids[3..5]).await;
    let expected = [11, 10, 9, 8, 7, 6, 3, 2, 1];
    for limit in 1..=10 {
        let mut down = Vec::new();
        let mut range = Range::Newest;
        loop {
            let page = page(&it, range, limit).await;
            assert!(page.notifications.len() <= limit);
            down.extend(seqs(&page));
            if !page.has_more {
                break;
            }
            range = Range::Before(*down.last().unwrap());
        }
        assert_eq!(down, expected);
        let mut up: Vec<Revision> = Vec::new();
        loop {
            let page = page(&it, Range::After(up.first().copied().unwrap_or(0)), limit).await;
            up.splice(0..0, seqs(&page));
            if !page.has_more {
                break;
            }
        }
        assert_eq!(up, expected);
    }
}

pub async fn paging_is_steady_under_inserts(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 6).await;
    let first = page(&it, Range::Newest, 3).await;
    assert_eq!(seqs(&first), [6, 5, 4]);
    it.send_many("ana", 2).await;
    let second = page(&it, Range::Before(4), 3).await;
    assert_eq!((seqs(&second), second.has_more), (vec![3, 2, 1], false), "none twice, none skipped");
    let newer = page(&it, Range::After(6), 3).await;
    assert_eq!((seqs(&newer), newer.has_more), (vec![8, 7], false));
}

pub async fn has_more_speaks_of_the_direction(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 4).await;
    assert!(page(&it, Range::Newest, 3).await.has_more);
    assert!(!page(&it, Range::Newest, 4).await.has_more);
    assert!(!page(&it, Range::Before(4), 3).await.has_more, "newer ones do not count");
    assert!(page(&it, Range::Before(4), 2).await.has_more);
    assert!(!page(&it, Range::After(2), 2).await.has_more, "older ones do not count");
    let nearest = page(&it, Range::After(1), 2).await;
    assert_eq!((seqs(&nearest), nearest.has_more), (vec![3, 2], true), "those nearest to it");
    assert!(seqs(&page(&it, Range::After(4), 2).await).is_empty());
    assert!(seqs(&page(&it, Range::Before(1), 2).await).is_empty());
}

pub async fn filters_by_status(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids: Vec<_> = it.send_many("ana", 3).await.into_iter().map(|receipt| receipt.id).collect();
    it.mark("ana", MarkOp::Read, &ids[..1]).await;
    it.mark("ana", MarkOp::Seen, &ids[1..2]).await;
    for (status, expected) in [
        (StatusFilter::All, vec![3, 2, 1]),
        (StatusFilter::Unread, vec![3, 2]),
        (StatusFilter::Read, vec![1]),
        (StatusFilter::Unseen, vec![3]),
    ] {
        assert_eq!(
            it.seqs("ana", InboxQuery { status, ..InboxQuery::default() }).await,
            expected,
            "{status:?}"
        );
        // A page that is full to the last is not followed by another.
        let query = InboxQuery { status, limit: expected.len(), ..InboxQuery::default() };
        let page = it.store.inbox(&user("ana"), query).await.unwrap();
        assert_eq!((seqs(&page), page.has_more), (expected, false), "{status:?}");
    }
}

pub async fn filters_by_archived(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids: Vec<_> = it.send_many("ana", 3).await.into_iter().map(|receipt| receipt.id).collect();
    it.mark("ana", MarkOp::Archive, &ids[1..2]).await;
    for (archived, expected) in [
        (ArchivedFilter::Exclude, vec![3, 1]),
        (ArchivedFilter::Include, vec![3, 2, 1]),
        (ArchivedFilter::Only, vec![2]),
    ] {
        let query = InboxQuery { archived, ..InboxQuery::default() };
        assert_eq!(it.seqs("ana", query).await, expected, "{archived:?}");
    }
}

pub async fn filters_by_category(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    for category in ["orders", "news", "orders"] {
        it.put(it.in_category("ana", "m", category)).await;
    }
    it.send("ana", "none").await;
    let of = |category: &str| InboxQuery { category: Some(category.to_owned()), ..InboxQuery::default() };
    assert_eq!(it.seqs("ana", of("orders")).await, [3, 1]);
    assert_eq!(it.seqs("ana", of("ORDERS")).await, [] as [u64; 0]);
    let query = InboxQuery { status: StatusFilter::Unread, range: Range::Before(3), ..of("orders") };
    assert_eq!(it.seqs("ana", query).await, [1]);
}

pub async fn carries_the_numbers(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids: Vec<_> = it.send_many("ana", 3).await.into_iter().map(|receipt| receipt.id).collect();
    it.mark("ana", MarkOp::Read, &ids[..1]).await;
    let query = InboxQuery { status: StatusFilter::Read, limit: 1, ..InboxQuery::default() };
    let page = it.store.inbox(&user("ana"), query).await.unwrap();
    assert_eq!((page.counts, page.head, page.floor), (numbers(2, 2, 3), 4, 0), "unfiltered");
    let none =
        it.store.inbox(&user("nobody"), InboxQuery { limit: 1, ..InboxQuery::default() }).await.unwrap();
    assert!(none.notifications.is_empty() && !none.has_more);
    assert_eq!((none.counts, none.head, none.floor), (numbers(0, 0, 0), 0, 0));
}

pub async fn huge_bounds_are_only_bounds(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 2).await;
    for bound in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        assert_eq!(seqs(&page(&it, Range::Before(bound), usize::MAX).await), [2, 1]);
        assert!(seqs(&page(&it, Range::After(bound), usize::MAX).await).is_empty());
    }
}
