use super::Factory;
use super::fixture::{Fixture, numbers, user};
use crate::{ChangesQuery, Edit, InboxQuery, Located};
use tidings_domain::MarkOp;

pub async fn follow_every_operation(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ids: Vec<_> = it.send_many("ana", 4).await.into_iter().map(|receipt| receipt.id).collect();
    assert_eq!(it.counts("ana").await, numbers(4, 4, 4));
    let steps = [
        (MarkOp::Seen, 0, numbers(4, 3, 4)),
        (MarkOp::Read, 1, numbers(3, 2, 4)),
        (MarkOp::Unread, 1, numbers(4, 2, 4)),
        (MarkOp::Archive, 2, numbers(3, 1, 3)),
        (MarkOp::Unarchive, 2, numbers(4, 2, 4)),
        (MarkOp::Delete, 3, numbers(3, 1, 3)),
    ];
    it.heard();
    for (op, index, expected) in steps {
        let done = it.mark("ana", op, &ids[index..=index]).await;
        assert_eq!(done.counts, expected, "{op:?}");
        assert_eq!(it.heard()[0].counts, expected, "{op:?}");
        assert_eq!(it.counts("ana").await, expected, "{op:?}");
        it.audit("ana").await;
    }
    it.store.edit(ids[0], Edit { title: Some("t".into()), ..Edit::default() }).await.unwrap();
    it.acknowledge("ana", "phone", 0, 5).await;
    assert_eq!(it.counts("ana").await, numbers(3, 1, 3), "neither counts");
    it.audit("ana").await;
}

pub async fn of_a_category(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let mut ids = Vec::new();
    for category in ["orders", "orders", "orders", "news"] {
        ids.push(it.put(it.in_category("ana", "m", category)).await.id);
    }
    it.mark("ana", MarkOp::Read, &ids[..1]).await;
    it.mark("ana", MarkOp::Seen, &ids[1..2]).await;
    let of = async |category| it.store.counts(&user("ana"), Some(category)).await.unwrap();
    assert_eq!(of("orders").await, numbers(2, 1, 3));
    it.mark("ana", MarkOp::Archive, &ids[..2]).await;
    assert_eq!(of("orders").await, numbers(1, 1, 1));
    it.mark("ana", MarkOp::Delete, &ids[2..3]).await;
    assert_eq!((of("orders").await, of("news").await), (numbers(0, 0, 0), numbers(1, 1, 1)));
    assert_eq!(of("absent").await, numbers(0, 0, 0));
}

pub async fn reads_create_nothing(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let whose = user("nobody");
    for _ in 0..2 {
        assert_eq!(it.store.locate(&whose, None).await.unwrap(), Located::default());
        assert_eq!(it.counts("nobody").await, numbers(0, 0, 0));
        assert!(it.store.devices(&whose).await.unwrap().is_empty());
        assert!(it.store.registration("pid").await.unwrap().is_none());
        assert!(it.get(it.new_id()).await.is_none());
        let query = InboxQuery { limit: 10, ..InboxQuery::default() };
        assert_eq!(it.store.inbox(&whose, query).await.unwrap().head, 0);
        assert_eq!(it.store.changes(&whose, ChangesQuery::new(0, 10)).await.unwrap().head, 0);
        assert_eq!(it.store.acknowledge(&whose, None, 0, 0).await.unwrap(), 0);
    }
    assert!(it.heard().is_empty());
    assert_eq!(it.send("nobody", "m").await.seq, 1);
}

pub async fn one_notification_by_its_id(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let mine = it.send("ana", "mine").await.id;
    let other = it.send("bo", "other").await.id;
    let got = it.get(other).await.unwrap();
    assert_eq!((got.user_id.as_str(), got.content.message.as_str(), got.seq), ("bo", "other", 1));
    assert_eq!(it.get(mine).await.unwrap().user_id.as_str(), "ana");
}
