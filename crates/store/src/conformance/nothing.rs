//! Inboxes that nothing was ever written to. [`Visitors`](crate::Visitors) says why nothing of them is stored.

use super::Factory;
use super::fixture::{Fixture, RETENTION, SECOND, device, user};
use crate::{Appended, InboxQuery};
use std::sync::Arc;
use tidings_domain::MarkOp;

pub async fn is_kept_of_an_inbox_that_has_nothing(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    for number in 0..20 {
        let (name, whose) = (format!("user-{number}"), user(&format!("user-{number}")));
        it.register(&name, "phone", None, 0).await;
        assert_eq!(it.acknowledge(&name, "laptop", 0, 0).await, 0);
        assert_eq!(it.store.acknowledge(&whose, None, 0, 0).await.unwrap(), 0);
        for op in MarkOp::ALL {
            assert_eq!(it.mark_up_to(&name, op, u64::MAX).await.changed, 0);
            assert_eq!(it.mark(&name, op, &[it.new_id()]).await.changed, 0);
        }
        it.store.inbox(&whose, InboxQuery { limit: 1, ..InboxQuery::default() }).await.unwrap();
        it.changes(&name, 0, 1).await;
        // Known as long as the process remembers, all the same.
        assert_eq!(it.store.devices(&whose).await.unwrap().len(), 2);
    }
    assert!(it.store.recall(it.new_id()).await.is_ok_and(|recalled| !recalled));
    it.sweep().await;
    assert_eq!(factory.kept(it.name()).await, 0);
    it.send("user-0", "m").await;
    assert!(factory.kept(it.name()).await > 0);
}

pub async fn who_attached_before_the_first_one_started_at_0(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let (ana, phone) = (user("ana"), device("phone"));
    it.register("ana", "phone", None, 0).await;
    it.acknowledge("ana", "tablet", 0, 0).await;
    let seen = it.now();
    it.clock.advance(SECOND);
    it.send("ana", "m").await;
    // As a stored device from now on.
    let it = it.reopen(factory).await;
    assert_eq!(it.store.locate(&ana, Some(&phone)).await.unwrap().device, Some(0));
    assert_eq!(it.store.locate(&ana, Some(&device("laptop"))).await.unwrap().device, None);
    let devices = it.store.devices(&ana).await.unwrap();
    let known: Vec<_> =
        devices.iter().map(|one| (one.device_id.as_str(), one.cursor, one.last_seen_at)).collect();
    assert_eq!(known, [("phone", 0, seen), ("tablet", 0, seen)]);
    assert_eq!((devices[0].transport.as_str(), devices[1].transport.as_str()), ("websocket", "http"));
    assert_eq!(it.acknowledge("ana", "phone", 0, 1).await, 1);
    it.audit("ana").await;
}

pub async fn what_another_device_confirms_first_is_not_lost_to_it(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.register("ana", "phone", None, 0).await;
    it.register("ana", "laptop", None, 0).await;
    it.send_many("ana", 3).await;
    assert_eq!(it.acknowledge("ana", "laptop", 0, 3).await, 3);
    let at = it.store.locate(&user("ana"), Some(&device("phone"))).await.unwrap();
    assert_eq!((at.confirmed, at.device), (3, Some(0)), "the phone goes on where it started");
    it.register("ana", "phone", None, 3).await;
    assert_eq!(it.store.locate(&user("ana"), Some(&device("phone"))).await.unwrap().device, Some(0));
}

pub async fn a_connection_is_remembered_through_a_restart(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.register("ana", "phone", Some("pid"), 0).await;
    it.register("bo", "phone", Some("moved"), 0).await;
    let it = it.reopen(factory).await;
    assert_eq!(it.store.registration("pid").await.unwrap(), Some((user("ana"), device("phone"))));
    // To another inbox that has nothing, to one that has something, and back.
    it.send("cy", "m").await;
    for whose in ["ana", "cy", "bo"] {
        it.register(whose, "phone", Some("moved"), 0).await;
        assert_eq!(it.store.registration("moved").await.unwrap(), Some((user(whose), device("phone"))));
    }
    it.send("ana", "m").await;
    it.acknowledge("ana", "laptop", 0, 1).await;
    assert_eq!(it.store.registration("pid").await.unwrap(), Some((user("ana"), device("phone"))));
    assert_eq!(it.store.locate(&user("ana"), Some(&device("phone"))).await.unwrap().device, Some(0));
    assert_eq!(it.store.registration("moved").await.unwrap(), Some((user("bo"), device("phone"))));
}

pub async fn a_connection_that_nobody_uses_is_forgotten(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.register("ana", "phone", Some("old"), 0).await;
    it.register("bo", "phone", Some("back"), 0).await;
    it.clock.advance(RETENTION);
    it.register("bo", "phone", Some("back"), 0).await;
    it.clock.advance(SECOND);
    it.sweep().await;
    assert_eq!(it.store.registration("old").await.unwrap(), None);
    assert!(it.store.registration("back").await.unwrap().is_some());
    assert!(it.store.devices(&user("ana")).await.unwrap().is_empty());
    assert_eq!(it.store.devices(&user("bo")).await.unwrap().len(), 1);
}

/// Whoever attaches while the first is sent has started at 0 or at 1, and is a device in any case.
pub async fn many_at_once_lose_no_device(factory: &dyn Factory) {
    let it = Arc::new(Fixture::open(factory).await);
    for round in 0..10 {
        let name = format!("user-{round}");
        let mut attaching = Vec::new();
        for number in 0..4 {
            let (it, name) = (it.clone(), name.clone());
            attaching.push(tokio::spawn(async move {
                it.register(&name, &format!("device-{number}"), Some(&format!("pid-{name}-{number}")), 0)
                    .await;
            }));
        }
        let sent = it.store.append(vec![it.outgoing(&name, "m")], None).await.unwrap();
        assert!(matches!(sent, Appended::Stored(_)));
        for attaching in attaching {
            attaching.await.unwrap();
        }
        assert_eq!(it.head(&name).await, 1);
        let devices = it.store.devices(&user(&name)).await.unwrap();
        assert_eq!(devices.len(), 4, "{devices:?}");
        for number in 0..4 {
            let pid = format!("pid-{name}-{number}");
            assert!(it.store.registration(&pid).await.unwrap().is_some(), "{pid}");
        }
    }
}
