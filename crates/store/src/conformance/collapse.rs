use super::Factory;
use super::fixture::{Fixture, marked, numbers};
use tidings_domain::{Kind, MarkOp, MarkTarget};

pub async fn replaces_what_is_unread_with_a_revision_of_its_own(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let old = it.put(it.collapsing("ana", "1 new", "k")).await.id;
    // Seen is still unread.
    it.mark("ana", MarkOp::Seen, &[old]).await;
    it.heard();
    let new = it.put(it.collapsing("ana", "2 new", "k")).await;
    assert_eq!(new.seq, 4);
    let heard = it.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!((heard[0].rev, heard[0].counts), (3, numbers(0, 0, 0)));
    assert_eq!(marked(&heard[0]), (MarkOp::Delete, MarkTarget::Ids(vec![old]), None));
    assert_eq!((heard[1].rev, heard[1].counts), (4, numbers(1, 1, 1)));
    assert!(matches!(&heard[1].kind, Kind::Sent(_)));
    assert_eq!(it.listed("ana").await, [4]);
    it.audit("ana").await;
}

pub async fn spares_what_is_read_archived_or_deleted(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let read = it.put(it.collapsing("ana", "m", "k")).await.id;
    it.mark("ana", MarkOp::Read, &[read]).await;
    let archived = it.put(it.collapsing("ana", "m", "k")).await.id;
    it.mark("ana", MarkOp::Archive, &[archived]).await;
    let deleted = it.put(it.collapsing("ana", "m", "k")).await.id;
    it.mark("ana", MarkOp::Delete, &[deleted]).await;
    let head = it.head("ana").await;
    assert_eq!(it.put(it.collapsing("ana", "m", "k")).await.seq, head + 1);
    assert!(it.get(read).await.is_some() && it.get(archived).await.is_some());
    it.audit("ana").await;
}

pub async fn keys_and_inboxes_do_not_mix(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.put(it.collapsing("ana", "m", "k")).await;
    it.put(it.collapsing("ana", "m", "l")).await;
    it.put(it.collapsing("bo", "m", "k")).await;
    it.send("ana", "without a key").await;
    assert_eq!((it.head("ana").await, it.head("bo").await), (3, 1));
    assert_eq!(it.counts("ana").await, numbers(3, 3, 3));
}

pub async fn within_one_call_the_last_one_stays(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let outgoing = ["a", "b", "c"].map(|text| it.collapsing("ana", text, "k")).to_vec();
    let receipts = it.append(outgoing).await;
    assert_eq!(receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), [1, 3, 5]);
    assert_eq!(it.listed("ana").await, [5]);
    it.heard();
    it.audit("ana").await;
}

pub async fn without_a_match_takes_no_revision(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    assert_eq!(it.put(it.collapsing("ana", "m", "k")).await.seq, 1);
    assert_eq!(it.heard().len(), 1);
}
