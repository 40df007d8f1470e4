use super::Factory;
use super::fixture::{DAY, Fixture, SECOND, numbers, shape};
use crate::{Edit, Outgoing};
use std::sync::Arc;
use tidings_domain::{Action, Content, Kind, MarkOp, Priority};

fn message(text: &str) -> Edit {
    Edit { message: Some(text.to_owned()), ..Edit::default() }
}

pub async fn keeps_id_and_seq_and_takes_a_revision(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "before").await.id;
    it.send("ana", "another").await;
    it.heard();
    it.clock.advance(SECOND);
    let edited = it.store.edit(id, message("after")).await.unwrap().unwrap();
    assert_eq!((edited.id, edited.seq, edited.rev), (id, 1, 3));
    assert_eq!(edited.content.message, "after");
    assert_eq!((edited.timestamp, edited.edited_at), (it.now().before(SECOND), Some(it.now())));
    assert_eq!(shape(&it.get(id).await.unwrap()), shape(&edited));
    let heard = it.heard();
    assert_eq!((heard.len(), heard[0].rev, heard[0].counts), (1, 3, numbers(2, 2, 2)));
    let Kind::Edited(told) = &heard[0].kind else { panic!("{heard:?}") };
    assert_eq!(shape(told), shape(&edited));
    it.audit("ana").await;
}

fn rich() -> Content {
    Content {
        title: "title".into(),
        message: "message".into(),
        data: serde_json::from_str(r#"{"a": 1}"#).unwrap(),
        category: Some("orders".into()),
        priority: Priority::High,
        url: Some("/url".into()),
        avatar: Some("/avatar".into()),
        actions: vec![Action { label: "l".into(), url: "/l".into() }],
    }
}

pub async fn leaves_what_it_does_not_set(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let outgoing = Outgoing {
        content: Arc::new(rich()),
        expires_at: Some(it.now().after(DAY)),
        ..it.outgoing("ana", "")
    };
    let id = it.put(outgoing.clone()).await.id;
    let edited = it.store.edit(id, message("other")).await.unwrap().unwrap();
    let expected = Content { message: "other".into(), ..rich() };
    assert_eq!(serde_json::to_string(&edited.content).unwrap(), serde_json::to_string(&expected).unwrap());
    assert_eq!(edited.expires_at, outgoing.expires_at);
}

pub async fn clears_what_it_sets_to_nothing(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let outgoing = Outgoing {
        content: Arc::new(rich()),
        expires_at: Some(it.now().after(DAY)),
        ..it.outgoing("ana", "")
    };
    let id = it.put(outgoing).await.id;
    let edit = Edit {
        title: Some(String::new()),
        category: Some(None),
        url: Some(None),
        avatar: Some(None),
        actions: Some(Vec::new()),
        expires_at: Some(None),
        ..Edit::default()
    };
    it.store.edit(id, edit).await.unwrap().unwrap();
    let got = it.get(id).await.unwrap();
    assert_eq!((got.content.title.as_str(), got.content.category, got.content.url), ("", None, None));
    assert_eq!((got.content.avatar, got.content.actions.len(), got.expires_at), (None, 0, None));
    it.clock.advance(DAY);
    assert_eq!(it.counts("ana").await, numbers(1, 1, 1));
    it.audit("ana").await;
}

pub async fn changing_nothing_takes_no_revision(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "same").await.id;
    it.heard();
    it.clock.advance(SECOND);
    for edit in [Edit::default(), message("same"), Edit { expires_at: Some(None), ..Edit::default() }] {
        let same = it.store.edit(id, edit).await.unwrap().unwrap();
        assert_eq!((same.rev, same.edited_at), (1, None));
    }
    assert!(it.heard().is_empty());
    assert_eq!(it.head("ana").await, 1);
}

pub async fn leaves_the_state_as_it_is(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.mark("ana", MarkOp::Read, &[id]).await;
    it.acknowledge("ana", "phone", 0, 2).await;
    let before = it.get(id).await.unwrap();
    it.clock.advance(SECOND);
    let edited = it.store.edit(id, message("edited")).await.unwrap().unwrap();
    assert_eq!(edited.state, before.state);
    assert_eq!(it.counts("ana").await, numbers(0, 0, 1));
    it.audit("ana").await;
}

pub async fn reaches_archived_ones(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.send("ana", "m").await.id;
    it.mark("ana", MarkOp::Archive, &[id]).await;
    let edited = it.store.edit(id, message("edited")).await.unwrap().unwrap();
    assert_eq!((edited.rev, edited.state.archived_at), (3, Some(it.now())));
    assert_eq!(it.counts("ana").await, numbers(0, 0, 0));
    it.audit("ana").await;
}

pub async fn of_what_is_gone_is_none(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    assert!(it.store.edit(it.new_id(), message("m")).await.unwrap().is_none());
    let deleted = it.send("ana", "m").await.id;
    it.mark("ana", MarkOp::Delete, &[deleted]).await;
    assert!(it.store.edit(deleted, message("n")).await.unwrap().is_none());
    let expired = it.put(it.expiring("ana", "m", SECOND)).await.id;
    it.clock.advance(SECOND);
    assert!(it.store.edit(expired, message("n")).await.unwrap().is_none());
    it.audit("ana").await;
}

pub async fn moves_the_category(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let id = it.put(it.in_category("ana", "m", "orders")).await.id;
    it.store.edit(id, Edit { category: Some(Some("news".into())), ..Edit::default() }).await.unwrap();
    let whose = super::fixture::user("ana");
    assert_eq!(it.store.counts(&whose, Some("orders")).await.unwrap(), numbers(0, 0, 0));
    assert_eq!(it.store.counts(&whose, Some("news")).await.unwrap(), numbers(1, 1, 1));
    it.audit("ana").await;
}

pub async fn moves_the_expiry(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let first = it.send("ana", "first").await.id;
    let second = it.put(it.expiring("ana", "second", SECOND)).await.id;
    let until = |at| Edit { expires_at: Some(Some(at)), ..Edit::default() };
    let later = it.now().after(SECOND);
    assert_eq!(it.store.edit(first, until(later)).await.unwrap().unwrap().expires_at, Some(later));
    it.store.edit(second, until(it.now().after(DAY))).await.unwrap().unwrap();
    it.clock.advance(SECOND);
    assert_eq!(it.listed("ana").await, [2]);
    assert_eq!(it.counts("ana").await, numbers(1, 1, 1));
    // Into the past: gone at once, and the numbers that are told say so.
    it.heard();
    it.store.edit(second, until(it.now())).await.unwrap();
    let heard = it.heard();
    assert_eq!(heard.last().unwrap().counts, numbers(0, 0, 0));
    assert!(it.get(second).await.is_none());
    it.audit("ana").await;
}
