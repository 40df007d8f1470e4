use super::Factory;
use super::fixture::{DAY, Fixture, SECOND, device, shape, user};
use crate::{
    Appended, ChangesQuery, Edit, Idempotency, InboxQuery, Outgoing, Registration, StoreError, Sweep,
};
use tidings_domain::{DeviceId, Mark, MarkOp, MarkTarget, UserId};

pub async fn everything_survives_reopening(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids: Vec<_> = it.send_many("ana", 4).await.into_iter().map(|receipt| receipt.id).collect();
    it.put(it.expiring("ana", "m", SECOND)).await;
    it.put(it.collapsing("ana", "1", "k")).await;
    it.mark("ana", MarkOp::Read, &ids[..1]).await;
    it.mark("ana", MarkOp::Archive, &ids[1..2]).await;
    it.mark("ana", MarkOp::Delete, &ids[2..3]).await;
    it.store.edit(ids[3], Edit { message: Some("edited".into()), ..Edit::default() }).await.unwrap();
    it.register("ana", "phone", Some("pid"), 2).await;
    it.acknowledge("ana", "laptop", 3, 8).await;
    let key = || Some(Idempotency { key: "k".into(), fingerprint: [1; 32], note: vec![1] });
    let Appended::Stored(receipts) = it.store.append(vec![it.outgoing("bo", "m")], key()).await.unwrap()
    else {
        panic!("first use")
    };
    let picture = async |it: &Fixture| {
        let mut picture = vec![it.store.epoch().to_string()];
        picture.extend(it.everything("ana").await.iter().map(shape));
        for entry in it.changes("ana", 0, 3).await {
            picture.push(serde_json::to_string(&entry).unwrap());
        }
        picture.push(format!("{:?}", it.store.locate(&user("ana"), Some(&device("phone"))).await.unwrap()));
        picture.push(format!("{:?}", it.store.devices(&user("ana")).await.unwrap()));
        picture.push(format!("{:?}", it.store.registration("pid").await.unwrap()));
        picture
    };
    let before = picture(&it).await;
    let it = it.reopen(factory).await;
    assert_eq!(picture(&it).await, before);
    let again = it.store.append(vec![it.outgoing("bo", "m")], key()).await.unwrap();
    assert_eq!(again, Appended::Replayed { receipts, note: vec![1] });
    // And goes on where it was.
    let head = it.head("ana").await;
    assert_eq!(it.put(it.collapsing("ana", "2", "k")).await.seq, head + 2);
    it.clock.advance(SECOND);
    assert_eq!(it.sweep().await.expired, 1);
    it.audit("ana").await;
}

pub async fn a_closed_store_is_unavailable(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.store.close().await;
    it.store.close().await;
    let (store, ana) = (&it.store, user("ana"));
    let sweep = Sweep { retention: DAY, limit: 1 };
    let mark = Mark { op: MarkOp::Read, target: MarkTarget::UpTo(1), category: None };
    let errors = [
        store.append(vec![it.outgoing("ana", "m")], None).await.unwrap_err(),
        store.edit(id, Edit::default()).await.unwrap_err(),
        store.recall(id).await.unwrap_err(),
        store.mark(&ana, mark).await.unwrap_err(),
        store.acknowledge(&ana, None, 0, 1).await.unwrap_err(),
        store.sweep(sweep).await.unwrap_err(),
        store.notification(id).await.unwrap_err(),
        store.inbox(&ana, InboxQuery { limit: 1, ..InboxQuery::default() }).await.unwrap_err(),
        store.changes(&ana, ChangesQuery::new(0, 1)).await.unwrap_err(),
        store.counts(&ana, None).await.unwrap_err(),
        store.ready().await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
}

pub async fn is_ready(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.store.ready().await.unwrap();
    it.send("ana", "m").await;
    it.store.ready().await.unwrap();
}

pub async fn two_stores_have_two_epochs(factory: &dyn Factory) {
    let one = Fixture::open_named(factory, "one").await;
    let two = Fixture::open_named(factory, "two").await;
    assert_ne!(one.store.epoch(), two.store.epoch());
    assert_eq!(two.head("ana").await, 0);
    one.send("ana", "m").await;
    assert_eq!(two.head("ana").await, 0, "and nothing else in common");
}

/// A rule that came later refuses such an id in a request; what is stored under it is still there.
pub async fn ids_of_older_rules_are_read(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let (whose, phone) = (UserId::stored("..").unwrap(), DeviceId::stored(".").unwrap());
    let outgoing = Outgoing { user_id: whose.clone(), ..it.outgoing("ana", "m") };
    let id = outgoing.id;
    let key = || Some(Idempotency { key: "k".into(), fingerprint: [1; 32], note: Vec::new() });
    let stored = it.store.append(vec![outgoing.clone()], key()).await.unwrap();
    let Appended::Stored(receipts) = stored else { panic!("first use") };
    let pid = Some("pid".to_owned());
    let registration = Registration { device_id: phone.clone(), pid, start: 0, transport: "sse" };
    it.store.register(&whose, registration).await.unwrap();
    let it = it.reopen(factory).await;
    assert_eq!(it.get(id).await.unwrap().user_id, whose);
    assert_eq!(it.store.registration("pid").await.unwrap(), Some((whose.clone(), phone.clone())));
    assert_eq!(it.store.devices(&whose).await.unwrap()[0].device_id, phone);
    let again = it.store.append(vec![outgoing], key()).await.unwrap();
    assert_eq!(again, Appended::Replayed { receipts, note: Vec::new() });
    assert!(it.store.recall(id).await.unwrap());
    it.clock.advance(DAY * 100);
    assert_eq!(it.sweep().await.purged, 1);
}
