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
