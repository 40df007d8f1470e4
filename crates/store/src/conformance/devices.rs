use super::Factory;
use super::fixture::{DAY, Fixture, RETENTION, SECOND, device, user};
use crate::{Device, Registration};
use std::sync::Arc;
use std::time::Duration;

pub async fn start_where_they_attach(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 3).await;
    let (ana, phone) = (user("ana"), device("phone"));
    assert_eq!(it.store.locate(&ana, Some(&phone)).await.unwrap().device, None);
    it.register("ana", "phone", None, 2).await;
    let at = it.store.locate(&ana, Some(&phone)).await.unwrap();
    assert_eq!((at.device, at.confirmed), (Some(2), 0), "to start there confirms nothing");
    let known = it.store.devices(&ana).await.unwrap();
    let phone =
        Device { device_id: phone, cursor: 2, last_seen_at: it.now(), transport: "websocket".to_owned() };
    assert_eq!(known, [phone]);
    // Also before anything was ever sent.
    it.register("bo", "phone", None, 0).await;
    assert_eq!(it.store.devices(&user("bo")).await.unwrap().len(), 1);
    assert_eq!(it.send("bo", "m").await.seq, 1);
}

pub async fn a_known_device_keeps_its_cursor(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 3).await;
    it.register("ana", "phone", None, 1).await;
    it.acknowledge("ana", "phone", 1, 2).await;
    it.clock.advance(SECOND);
    let again = Registration { device_id: device("phone"), pid: None, start: 3, transport: "polling" };
    it.store.register(&user("ana"), again).await.unwrap();
    let known = it.store.devices(&user("ana")).await.unwrap();
    assert_eq!((known[0].cursor, known[0].last_seen_at), (2, it.now()));
    assert_eq!(known[0].transport, "polling");
}

pub async fn last_seen_first(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send("ana", "m").await;
    for name in ["a", "b", "c"] {
        it.register("ana", name, None, 0).await;
        it.clock.advance(SECOND);
    }
    it.acknowledge("ana", "b", 0, 1).await;
    it.clock.advance(DAY);
    it.register("ana", "a", None, 0).await;
    let known = it.store.devices(&user("ana")).await.unwrap();
    let names: Vec<_> = known.iter().map(|device| device.device_id.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

pub async fn are_at_most_a_thousand(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.register("ana", "first", Some("pid"), 0).await;
    it.clock.advance(SECOND);
    let mut callers = Vec::new();
    for n in 0..999 {
        let store = Arc::clone(&it.store);
        callers.push(tokio::spawn(async move {
            let device_id = device(&format!("device-{n}"));
            let registration = Registration { device_id, pid: None, start: 0, transport: "http" };
            store.register(&user("ana"), registration).await.unwrap();
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let (ana, first) = (user("ana"), device("first"));
    assert_eq!(it.store.devices(&ana).await.unwrap().len(), 1_000);
    assert!(it.store.locate(&ana, Some(&first)).await.unwrap().device.is_some());
    it.clock.advance(SECOND);
    it.register("ana", "last", None, 0).await;
    assert_eq!(it.store.devices(&ana).await.unwrap().len(), 1_000);
    assert!(it.store.locate(&ana, Some(&first)).await.unwrap().device.is_none(), "longest unseen");
    assert!(it.store.locate(&ana, Some(&device("last"))).await.unwrap().device.is_some());
}

pub async fn unseen_ones_are_forgotten(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send("ana", "m").await;
    for name in ["old", "acked", "back", "new"] {
        it.register("ana", name, Some(&format!("pid-{name}")), 0).await;
    }
    it.clock.advance(RETENTION - DAY);
    it.acknowledge("ana", "acked", 0, 1).await;
    it.register("ana", "back", Some("pid-back"), 0).await;
    it.clock.advance(DAY + Duration::from_millis(1));
    it.register("ana", "new", Some("pid-new"), 0).await;
    it.sweep().await;
    let known = it.store.devices(&user("ana")).await.unwrap();
    let mut names: Vec<_> = known.iter().map(|device| device.device_id.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["acked", "back", "new"]);
    assert!(it.store.locate(&user("ana"), Some(&device("old"))).await.unwrap().device.is_none());
    assert!(it.store.registration("pid-old").await.unwrap().is_none());
    assert!(it.store.registration("pid-back").await.unwrap().is_some());
}

pub async fn a_connection_names_its_device(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.register("ana", "phone", Some("pid-1"), 0).await;
    it.register("ana", "phone", Some("pid-2"), 0).await;
    it.register("ana", "laptop", None, 0).await;
    for pid in ["pid-1", "pid-2"] {
        assert_eq!(it.store.registration(pid).await.unwrap(), Some((user("ana"), device("phone"))));
    }
    assert_eq!(it.store.registration("pid-3").await.unwrap(), None);
}

pub async fn the_newest_registration_of_a_connection_counts(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.register("ana", "phone", Some("pid"), 0).await;
    it.register("bo", "phone", Some("pid"), 0).await;
    assert_eq!(it.store.registration("pid").await.unwrap(), Some((user("bo"), device("phone"))));
    it.register("bo", "laptop", Some("pid"), 0).await;
    assert_eq!(it.store.registration("pid").await.unwrap(), Some((user("bo"), device("laptop"))));
    it.register("ana", "phone", Some("pid"), 0).await;
    assert_eq!(it.store.registration("pid").await.unwrap(), Some((user("ana"), device("phone"))));
}

pub async fn a_forgotten_connection_names_nobody(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 3).await;
    it.register("ana", "phone", Some("pid-1"), 0).await;
    it.register("ana", "phone", Some("pid-2"), 0).await;
    it.acknowledge("ana", "phone", 0, 2).await;
    let forget = async |whose, pid| it.store.forget_connection(&user(whose), pid).await.unwrap();
    forget("bo", "pid-1").await;
    assert!(it.store.registration("pid-1").await.unwrap().is_some(), "it is not bo's");
    forget("ana", "pid-1").await;
    forget("ana", "pid-1").await;
    forget("ana", "never seen").await;
    assert_eq!(it.store.registration("pid-1").await.unwrap(), None);
    // Its device and that one's other connections stay.
    assert_eq!(it.store.registration("pid-2").await.unwrap(), Some((user("ana"), device("phone"))));
    assert_eq!(it.store.locate(&user("ana"), Some(&device("phone"))).await.unwrap().device, Some(2));
    it.register("bo", "phone", Some("pid-1"), 0).await;
    assert_eq!(it.store.registration("pid-1").await.unwrap(), Some((user("bo"), device("phone"))));
}

pub async fn of_two_users_do_not_mix(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send("ana", "m").await;
    it.send("bo", "m").await;
    it.acknowledge("ana", "phone", 0, 1).await;
    it.register("bo", "phone", None, 0).await;
    let cursor = async |whose| it.store.locate(&user(whose), Some(&device("phone"))).await.unwrap();
    assert_eq!((cursor("ana").await.device, cursor("bo").await.device), (Some(1), Some(0)));
    assert_eq!((cursor("ana").await.confirmed, cursor("bo").await.confirmed), (1, 0));
}
