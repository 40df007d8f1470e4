use super::Factory;
use super::fixture::{Fixture, SECOND, device, user};
use crate::StoreError;
use tidings_domain::{MarkOp, Revision};

/// The `seq`s of what is delivered, oldest first.
async fn delivered(it: &Fixture) -> Vec<Revision> {
    let all = it.everything("ana").await;
    all.iter().rev().filter(|n| n.state.delivered_at.is_some()).map(|n| n.seq).collect()
}

pub async fn delivers_what_lies_below(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 4).await;
    it.clock.advance(SECOND);
    assert_eq!(it.acknowledge("ana", "phone", 0, 3).await, 3);
    assert_eq!(delivered(&it).await, [1, 2, 3]);
    let first = it.everything("ana").await.pop().unwrap();
    assert_eq!(first.state.delivered_at, Some(it.now()));
    let at = it.store.locate(&user("ana"), Some(&device("phone"))).await.unwrap();
    assert_eq!((at.confirmed, at.device), (3, Some(3)));
    it.audit("ana").await;
}

pub async fn takes_no_revision(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.heard();
    it.acknowledge("ana", "phone", 0, 1).await;
    assert!(it.heard().is_empty(), "it is news for the sender, not for the devices");
    assert_eq!(it.head("ana").await, 1);
    assert_eq!(it.get(id).await.unwrap().rev, 1);
    assert!(it.changes("ana", 1, 10).await.is_empty());
}

pub async fn is_cumulative(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 5).await;
    assert_eq!(it.acknowledge("ana", "phone", 0, 4).await, 4);
    assert_eq!(it.acknowledge("ana", "phone", 0, 2).await, 4, "a smaller one changes nothing");
    assert_eq!(it.acknowledge("ana", "laptop", 0, 2).await, 2, "each device has its own");
    let at = it.store.locate(&user("ana"), Some(&device("laptop"))).await.unwrap();
    assert_eq!((at.confirmed, at.device), (4, Some(2)));
    assert_eq!(delivered(&it).await, [1, 2, 3, 4]);
    assert_eq!(it.acknowledge("ana", "laptop", 0, 5).await, 5);
    assert_eq!(delivered(&it).await, [1, 2, 3, 4, 5]);
}

pub async fn never_invents_delivered(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.mark("ana", MarkOp::Read, &[id]).await;
    it.register("ana", "phone", Some("pid"), 2).await;
    it.register("ana", "phone", Some("pid"), 2).await;
    it.acknowledge("ana", "phone", 0, 0).await;
    it.acknowledge("ana", "phone", 0, 1).await;
    it.acknowledge("ana", "phone", 2, 2).await;
    it.sweep().await;
    assert_eq!(delivered(&it).await, [] as [u64; 0], "its revision is 2, and only 1 was confirmed");
    assert_eq!(it.send("bo", "m").await.seq, 1);
    it.acknowledge("bo", "phone", 0, 1).await;
    assert_eq!(delivered(&it).await, [] as [u64; 0], "another's device with the same name");
}

pub async fn a_receipt_covers_only_what_was_written(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 6).await;
    assert_eq!(it.acknowledge("ana", "phone", 4, 6).await, 6);
    assert_eq!(delivered(&it).await, [5, 6], "what it never got stays pending");
    let at = it.store.locate(&user("ana"), Some(&device("phone"))).await.unwrap();
    assert_eq!((at.confirmed, at.device), (6, Some(6)));
    assert_eq!(it.acknowledge("ana", "phone", 6, 2).await, 6, "an empty stretch");
    assert_eq!(it.acknowledge("ana", "tablet", 1, 3).await, 3);
    assert_eq!(delivered(&it).await, [2, 3, 5, 6]);
    it.send("ana", "m").await;
    it.acknowledge("ana", "phone", 6, 7).await;
    assert_eq!(delivered(&it).await, [2, 3, 5, 6, 7]);
    it.audit("ana").await;
}

pub async fn a_gap_is_closed_by_the_clients_word(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 6).await;
    it.acknowledge("ana", "phone", 4, 6).await;
    it.acknowledge("ana", "phone", 0, 2).await;
    assert_eq!(delivered(&it).await, [1, 2, 5, 6]);
    it.acknowledge("ana", "phone", 0, 6).await;
    assert_eq!(delivered(&it).await, [1, 2, 3, 4, 5, 6]);
}

pub async fn above_the_head_is_refused(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 2).await;
    let (ana, phone) = (user("ana"), device("phone"));
    for up_to in [3, u64::MAX] {
        let refused = it.store.acknowledge(&ana, Some(&phone), 0, up_to).await.unwrap_err();
        assert_eq!(refused, StoreError::AboveHead { head: 2 });
    }
    let refused = it.store.acknowledge(&user("nobody"), Some(&phone), 0, 1).await.unwrap_err();
    assert_eq!(refused, StoreError::AboveHead { head: 0 });
    assert_eq!(delivered(&it).await, [] as [u64; 0]);
    assert!(it.store.devices(&ana).await.unwrap().is_empty(), "nothing of it is stored");
}

pub async fn a_row_moved_by_a_later_mark_waits(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids: Vec<_> = it.send_many("ana", 2).await.into_iter().map(|receipt| receipt.id).collect();
    it.mark("ana", MarkOp::Seen, &ids[..1]).await;
    it.acknowledge("ana", "phone", 0, 2).await;
    assert_eq!(delivered(&it).await, [2]);
    it.acknowledge("ana", "phone", 0, 3).await;
    assert_eq!(delivered(&it).await, [1, 2]);
}

pub async fn without_a_device(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 3).await;
    let ana = user("ana");
    assert_eq!(it.store.acknowledge(&ana, None, 0, 2).await.unwrap(), 2);
    assert_eq!(delivered(&it).await, [1, 2]);
    assert_eq!(it.store.acknowledge(&ana, None, 0, 1).await.unwrap(), 2, "what any device has");
    assert_eq!(it.store.locate(&ana, None).await.unwrap().confirmed, 2);
    assert!(it.store.devices(&ana).await.unwrap().is_empty());
}

pub async fn makes_the_device_known(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send("ana", "m").await;
    it.acknowledge("ana", "phone", 0, 1).await;
    let devices = it.store.devices(&user("ana")).await.unwrap();
    assert_eq!(devices.len(), 1);
    assert_eq!((&devices[0].device_id, devices[0].cursor), (&device("phone"), 1));
    assert_eq!(devices[0].last_seen_at, it.now());
    // Also where nothing was ever sent.
    assert_eq!(it.acknowledge("bo", "phone", 0, 0).await, 0);
    assert_eq!(it.store.locate(&user("bo"), Some(&device("phone"))).await.unwrap().device, Some(0));
}

pub async fn the_first_confirmation_keeps_its_time(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    let first = it.now();
    it.acknowledge("ana", "phone", 0, 1).await;
    it.clock.advance(SECOND);
    it.mark("ana", MarkOp::Read, &[id]).await;
    it.acknowledge("ana", "laptop", 0, 2).await;
    assert_eq!(it.get(id).await.unwrap().state.delivered_at, Some(first));
}

pub async fn a_device_that_comes_between_hides_no_other(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 5).await;
    assert_eq!(it.acknowledge("ana", "b", 0, 5).await, 5);
    // Nothing is remembered from before.
    let it = it.reopen(factory).await;
    it.register("ana", "a", None, 5).await;
    let ana = user("ana");
    assert_eq!(it.store.acknowledge(&ana, None, 0, 2).await.unwrap(), 5, "what any device has");
    assert_eq!(it.acknowledge("ana", "c", 0, 3).await, 3);
    assert_eq!(it.store.acknowledge(&ana, None, 0, 4).await.unwrap(), 5);
    assert_eq!(it.acknowledge("ana", "b", 0, 1).await, 5);
    assert_eq!(it.store.locate(&ana, None).await.unwrap().confirmed, 5);
}
