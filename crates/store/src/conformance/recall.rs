use super::Factory;
use super::fixture::{Fixture, SECOND, marked, numbers};
use tidings_domain::{MarkOp, MarkTarget};

pub async fn deletes_from_every_device(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 2).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    it.heard();
    assert!(it.store.recall(ids[0]).await.unwrap());
    assert!(it.get(ids[0]).await.is_none());
    assert_eq!(it.listed("ana").await, [2]);
    let heard = it.heard();
    assert_eq!((heard.len(), heard[0].rev, heard[0].counts), (1, 3, numbers(1, 1, 1)));
    assert_eq!(marked(&heard[0]), (MarkOp::Delete, MarkTarget::Ids(vec![ids[0]]), None));
    it.audit("ana").await;
}

pub async fn of_what_is_gone_is_false(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    assert!(!it.store.recall(it.new_id()).await.unwrap());
    let deleted = it.send("ana", "m").await.id;
    assert!(it.store.recall(deleted).await.unwrap());
    assert!(!it.store.recall(deleted).await.unwrap());
    let expired = it.put(it.expiring("ana", "m", SECOND)).await.id;
    it.clock.advance(SECOND);
    assert!(!it.store.recall(expired).await.unwrap());
    it.audit("ana").await;
}

pub async fn reaches_archived_ones_and_keeps_the_counts(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids = it.send_many("ana", 2).await.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    it.mark("ana", MarkOp::Archive, &ids[..1]).await;
    assert!(it.store.recall(ids[0]).await.unwrap());
    assert_eq!(it.counts("ana").await, numbers(1, 1, 1));
    it.audit("ana").await;
}
