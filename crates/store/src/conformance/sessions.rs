use super::Factory;
use super::fixture::{Fixture, RETENTION, SECOND, user};
use tidings_domain::Timestamp;

pub async fn an_end_is_kept_for_good(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let (ana, ended) = (user("ana"), it.now());
    it.store.revoke(&ana, ended).await.unwrap();
    // A token may be valid for longer than anything else is kept.
    for _ in 0..5 {
        it.clock.advance(RETENTION + SECOND);
        it.sweep().await;
    }
    assert_eq!(it.store.revoked_at(&ana).await.unwrap(), Some(ended));
    let it = it.reopen(factory).await;
    assert_eq!(it.store.revoked_at(&ana).await.unwrap(), Some(ended));
    assert_eq!(it.store.revoked_at(&user("bo")).await.unwrap(), None);
}

pub async fn an_earlier_end_changes_nothing(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let ana = user("ana");
    for (at, kept) in [(1_000, 1_000), (500, 1_000), (2_000, 2_000)] {
        it.store.revoke(&ana, Timestamp::from_millis(at)).await.unwrap();
        assert_eq!(it.store.revoked_at(&ana).await.unwrap(), Some(Timestamp::from_millis(kept)));
    }
}

pub async fn an_end_that_lies_ahead_is_pulled_back(factory: &dyn Factory) {
    let it = Fixture::open(factory).await;
    let at = Timestamp::from_millis;
    for (name, ended) in [("ana", 5_000), ("bo", 9_000), ("cy", 2_000)] {
        it.store.revoke(&user(name), at(ended)).await.unwrap();
    }
    let ends = async || {
        let mut ends = Vec::new();
        for name in ["ana", "bo", "cy", "nobody"] {
            ends.push(it.store.revoked_at(&user(name)).await.unwrap().map(Timestamp::as_millis));
        }
        ends
    };
    // What is at the bound is not ahead of it.
    it.store.pull_back_revocations(Some(&user("ana")), at(5_000), at(1_000)).await.unwrap();
    it.store.pull_back_revocations(Some(&user("nobody")), at(0), at(1_000)).await.unwrap();
    assert_eq!(ends().await, [Some(5_000), Some(9_000), Some(2_000), None]);
    it.store.pull_back_revocations(Some(&user("ana")), at(4_999), at(1_000)).await.unwrap();
    assert_eq!(ends().await, [Some(1_000), Some(9_000), Some(2_000), None]);
    it.store.pull_back_revocations(None, at(2_000), at(1_500)).await.unwrap();
    assert_eq!(ends().await, [Some(1_000), Some(1_500), Some(2_000), None]);
    // And ends can be set anew.
    it.store.revoke(&user("bo"), at(1_600)).await.unwrap();
    assert_eq!(ends().await[1], Some(1_600));
}
