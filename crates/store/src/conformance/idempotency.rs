use super::Factory;
use super::fixture::{DAY, Fixture, SECOND, numbers};
use crate::{Appended, IDEMPOTENCY_TTL, Idempotency, StoreError};
use std::sync::Arc;

fn key(text: &str, fingerprint: u8) -> Idempotency {
    Idempotency { key: text.to_owned(), fingerprint: [fingerprint; 32], note: vec![fingerprint, 0, 255] }
}

pub async fn the_same_key_gets_the_first_answer(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let first = it.store.append(vec![it.outgoing("ana", "once")], Some(key("k", 1))).await.unwrap();
    let Appended::Stored(stored) = first else { panic!("{first:?}") };
    it.heard();
    let again = Idempotency { note: b"another note".to_vec(), ..key("k", 1) };
    let second = it.store.append(vec![it.outgoing("ana", "once")], Some(again)).await.unwrap();
    assert_eq!(second, Appended::Replayed { receipts: stored, note: vec![1, 0, 255] });
    assert!(it.heard().is_empty());
    assert_eq!((it.head("ana").await, it.counts("ana").await), (1, numbers(1, 1, 1)));
    // Another key is another request.
    let other = it.store.append(vec![it.outgoing("ana", "once")], Some(key("l", 1))).await.unwrap();
    assert!(matches!(other, Appended::Stored(_)));
}

pub async fn a_first_answer_is_found_without_storing(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    assert_eq!(it.store.first_answer(&key("k", 1)).await, Ok(None));
    let first = it.store.append(vec![it.outgoing("ana", "once")], Some(key("k", 1))).await.unwrap();
    let Appended::Stored(receipts) = first else { panic!("{first:?}") };
    it.heard();
    let again = Idempotency { note: b"another note".to_vec(), ..key("k", 1) };
    let replayed = Appended::Replayed { receipts, note: vec![1, 0, 255] };
    assert_eq!(it.store.first_answer(&again).await, Ok(Some(replayed.clone())));
    assert_eq!(it.store.first_answer(&key("k", 2)).await, Err(StoreError::IdempotencyMismatch));
    assert_eq!(it.store.first_answer(&key("l", 1)).await, Ok(None));
    assert!(it.heard().is_empty());
    assert_eq!(it.head("ana").await, 1);
    // To ask leaves a key free, and a known one as old as it is.
    let other = it.store.append(vec![it.outgoing("ana", "other")], Some(key("l", 2))).await.unwrap();
    assert!(matches!(other, Appended::Stored(_)));
    it.clock.advance(IDEMPOTENCY_TTL - SECOND);
    assert_eq!(it.store.first_answer(&key("k", 1)).await, Ok(Some(replayed)));
    it.clock.advance(SECOND);
    assert_eq!(it.store.first_answer(&key("k", 1)).await, Ok(None));
    assert_eq!(it.store.first_answer(&key("k", 2)).await, Ok(None), "a forgotten key has no fingerprint");
}

pub async fn another_fingerprint_is_refused_and_stores_nothing(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.store.append(vec![it.outgoing("ana", "a")], Some(key("k", 1))).await.unwrap();
    it.heard();
    let refused =
        it.store.append(vec![it.outgoing("ana", "b"), it.outgoing("bo", "b")], Some(key("k", 2))).await;
    assert_eq!(refused, Err(StoreError::IdempotencyMismatch));
    assert!(it.heard().is_empty());
    assert_eq!((it.head("ana").await, it.head("bo").await), (1, 0));
    it.audit("ana").await;
}

pub async fn a_day_later_the_key_is_free(factory: &dyn Factory) {
    for swept in [false, true] {
        let it = Fixture::open_named(factory, if swept { "swept" } else { "unswept" }).await;
        it.store.append(vec![it.outgoing("ana", "a")], Some(key("k", 1))).await.unwrap();
        it.clock.advance(IDEMPOTENCY_TTL - SECOND);
        if swept {
            it.sweep().await;
        }
        let replayed = it.store.append(vec![it.outgoing("ana", "a")], Some(key("k", 1))).await.unwrap();
        assert!(matches!(replayed, Appended::Replayed { .. }), "a second before");
        it.clock.advance(SECOND);
        if swept {
            it.sweep().await;
        }
        let fresh = it.store.append(vec![it.outgoing("ana", "b")], Some(key("k", 2))).await.unwrap();
        assert!(matches!(fresh, Appended::Stored(_)), "as if it had never been used");
        it.clock.advance(DAY - SECOND);
        let replayed = it.store.append(vec![it.outgoing("ana", "b")], Some(key("k", 2))).await.unwrap();
        assert!(matches!(replayed, Appended::Replayed { .. }), "and counts from its last use");
        assert_eq!(it.head("ana").await, 2);
    }
}

pub async fn of_many_at_once_exactly_one_stores(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let mut callers = Vec::new();
    for _ in 0..32 {
        let (store, outgoing) = (Arc::clone(&it.store), it.outgoing("ana", "once"));
        callers.push(tokio::spawn(
            async move { store.append(vec![outgoing], Some(key("k", 1))).await.unwrap() },
        ));
    }
    let (mut stored, mut replayed) = (Vec::new(), Vec::new());
    for caller in callers {
        match caller.await.unwrap() {
            Appended::Stored(receipts) => stored.push(receipts),
            Appended::Replayed { receipts, .. } => replayed.push(receipts),
        }
    }
    assert_eq!((stored.len(), replayed.len()), (1, 31));
    assert!(replayed.iter().all(|receipts| *receipts == stored[0]));
    assert_eq!(it.counts("ana").await, numbers(1, 1, 1));
    assert_eq!(it.heard().len(), 1);
}

pub async fn a_refused_call_leaves_the_key_free(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    it.store.append(vec![it.outgoing("ana", "a")], Some(key("k", 1))).await.unwrap();
    it.store.append(vec![it.outgoing("ana", "b")], Some(key("k", 2))).await.unwrap_err();
    // The first owner still has it.
    let again = it.store.append(vec![it.outgoing("ana", "a")], Some(key("k", 1))).await.unwrap();
    assert!(matches!(again, Appended::Replayed { .. }));
}

pub async fn the_note_and_many_receipts_come_back(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let note: Vec<u8> = (0..1 << 20).map(|n| n as u8).collect();
    let ask = || Idempotency { key: "k".repeat(255), fingerprint: [7; 32], note: note.clone() };
    let outgoing = |it: &Fixture| (0..1_000).map(|n| it.outgoing(&format!("\u{e4} \"{n}\""), "m")).collect();
    let Appended::Stored(stored) = it.store.append(outgoing(&it), Some(ask())).await.unwrap() else {
        panic!("first use")
    };
    let again = it.store.append(outgoing(&it), Some(ask())).await.unwrap();
    assert!(again == Appended::Replayed { receipts: stored, note: note.clone() });
}
