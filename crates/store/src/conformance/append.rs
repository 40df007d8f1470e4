use super::Factory;
use super::fixture::{DAY, Fixture, SECOND, numbers, shape, user};
use crate::Outgoing;
use std::sync::Arc;
use tidings_domain::{Action, Content, Counts, Kind, Priority, Status};

pub async fn first_revision_is_one(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let outgoing = it.outgoing("ana", "hello");
    let id = outgoing.id;
    let receipt = it.put(outgoing).await;
    assert_eq!((receipt.seq, receipt.id, receipt.user_id), (1, id, user("ana")));
    assert_eq!(it.head("ana").await, 1);
    it.audit("ana").await;
}

pub async fn takes_the_next_revisions_in_the_order_given(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send("ana", "before").await;
    let outgoing = ["a", "b", "c"].map(|text| it.outgoing("ana", text)).to_vec();
    let ids: Vec<_> = outgoing.iter().map(|item| item.id).collect();
    let receipts = it.append(outgoing).await;
    assert_eq!(receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(receipts.iter().map(|receipt| receipt.id).collect::<Vec<_>>(), ids);
    it.audit("ana").await;
}

pub async fn inboxes_count_for_themselves(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.send_many("ana", 3).await;
    assert_eq!(it.send("bo", "first").await.seq, 1);
    assert_eq!((it.head("ana").await, it.head("bo").await), (3, 1));
    assert_eq!(it.counts("bo").await, numbers(1, 1, 1));
}

pub async fn keeps_what_it_was_given(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let content = Content {
        title: "Grüße \u{1f600}".into(),
        message: "line\nbreak \"quoted\" \\ \u{2028}".into(),
        // Letter by letter: the spaces, the large number and the order of the keys stay.
        data: serde_json::from_str(r#"{ "z":1, "a":12345678901234567890.10, "é":"\u00e9"}"#).unwrap(),
        category: Some("orders".into()),
        priority: Priority::Urgent,
        url: Some("https://example.org/?a=b&c=%20".into()),
        avatar: Some("/avatar.png".into()),
        actions: vec![Action { label: "Track".into(), url: "/track".into() }],
    };
    let outgoing = Outgoing {
        content: Arc::new(content.clone()),
        expires_at: Some(it.now().after(DAY)),
        ..it.outgoing("ana", "")
    };
    let expires_at = outgoing.expires_at;
    let receipt = it.put(outgoing).await;
    it.clock.advance(SECOND);
    let got = it.get(receipt.id).await.unwrap();
    assert_eq!(serde_json::to_string(&got.content).unwrap(), serde_json::to_string(&content).unwrap());
    assert_eq!(got.content.data.get(), content.data.get());
    assert_eq!((got.seq, got.rev, got.user_id.as_str()), (1, 1, "ana"));
    assert_eq!((got.timestamp, got.expires_at, got.edited_at), (it.now().before(SECOND), expires_at, None));
    assert_eq!(got.state.status(), Status::Pending);
    assert_eq!(got.state, Default::default());
}

pub async fn many_users_in_one_call(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let content = Arc::new(Content::text("to all of you"));
    let names: Vec<String> = (0..1_000).map(|n| format!("user-{n}")).collect();
    let outgoing =
        names.iter().map(|name| Outgoing { content: content.clone(), ..it.outgoing(name, "") }).collect();
    let receipts = it.append(outgoing).await;
    assert_eq!(receipts.len(), 1_000);
    for (receipt, name) in receipts.iter().zip(&names) {
        assert_eq!((receipt.user_id.as_str(), receipt.seq), (name.as_str(), 1));
    }
    assert_eq!(it.heard().len(), 1_000);
    for name in ["user-0", "user-500", "user-999"] {
        it.audit(name).await;
    }
}

pub async fn nothing_is_a_legal_append(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    assert!(it.append(Vec::new()).await.is_empty());
    assert!(it.heard().is_empty());
}

pub async fn the_observer_hears_of_it_with_the_numbers_right_after(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let receipts =
        it.append(vec![it.outgoing("ana", "a"), it.outgoing("bo", "x"), it.outgoing("ana", "b")]).await;
    let heard = it.heard();
    assert_eq!(heard.len(), 3);
    for ((change, receipt), total) in heard.iter().zip(&receipts).zip([1, 1, 2]) {
        assert_eq!((&change.user_id, change.rev), (&receipt.user_id, receipt.seq));
        assert_eq!(change.counts, Counts { unread: total, unseen: total, total });
        let Kind::Sent(sent) = &change.kind else { panic!("{change:?}") };
        assert_eq!(shape(sent), shape(&it.get(receipt.id).await.unwrap()));
    }
}
