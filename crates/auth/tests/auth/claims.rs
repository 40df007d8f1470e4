//! The claims at the edges where they are still, or just no longer, accepted.

use crate::support::{Draft, ManualClock, World, with_secret};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tidings_auth::Refusal;
use tidings_domain::Timestamp;

const NOW: i64 = ManualClock::START;

#[tokio::test]
async fn says_whose_it_is_and_until_when() {
    let world = World::new().await;
    for draft in Draft::each() {
        let verified = world.auth.check_token(&draft.token()).await.unwrap();
        assert_eq!(verified.user.as_str(), "ana");
        assert_eq!(verified.expires_at, Timestamp::from_millis((NOW + 60) * 1000));
        assert_eq!(verified.issued_at, Some(Timestamp::from_millis(NOW * 1000)));
    }
}

#[tokio::test]
async fn ends_in_the_millisecond_of_its_exp() {
    let world = World::new().await;
    let token = Draft::new("HS256").token();
    world.clock.advance(Duration::from_millis(59_999));
    assert!(world.auth.check_token(&token).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.auth.check_token(&token).await, Err(Refusal::Expired));
}

#[tokio::test]
async fn fractions_of_a_second_count() {
    let world = World::new().await;
    let exp = NOW as f64 + 0.25;
    let token = Draft::new("HS256").claim("exp", exp).token();
    let verified = world.auth.check_token(&token).await.unwrap();
    assert_eq!(verified.expires_at.as_millis(), NOW * 1000 + 250);
    world.clock.advance(Duration::from_millis(250));
    assert_eq!(world.auth.check_token(&token).await, Err(Refusal::Expired));
}

#[tokio::test]
async fn another_clock_may_be_five_seconds_ahead() {
    let world = World::new().await;
    for claim in ["nbf", "iat"] {
        let token = Draft::new("HS256").claim(claim, NOW + 6).token();
        assert_eq!(world.auth.check_token(&token).await, Err(Refusal::NotYetValid));
        world.clock.advance(Duration::from_secs(1));
        assert!(world.auth.check_token(&token).await.is_ok(), "{claim}");
        world.clock.set_back(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn the_audience_may_be_one_of_several() {
    let world = World::new().await;
    let token = Draft::new("HS256").claim("aud", json!(["other", "tidings"])).token();
    assert!(world.auth.check_token(&token).await.is_ok());
}

#[tokio::test]
async fn what_is_not_configured_is_not_demanded() {
    let auth = with_secret(Arc::new(ManualClock::new())).await;
    let draft = Draft::new("HS256");
    for token in [
        draft.token(),
        draft.clone().without("aud").without("iss").without("iat").token(),
        draft.clone().claim("aud", json!(["any", "thing"])).claim("iss", "anybody").token(),
    ] {
        assert!(auth.check_token(&token).await.is_ok());
    }
}

#[tokio::test]
async fn every_user_id_of_the_contract_may_be_a_subject() {
    let world = World::new().await;
    for user in ["ana", "a b", "auth0|5f7c8ec7c33c6c004bbafe82", "Ünïcödé ☃", &"x".repeat(128)] {
        let token = Draft::new("HS256").claim("sub", user).token();
        assert_eq!(world.auth.check_token(&token).await.unwrap().user.as_str(), user);
    }
}

#[tokio::test]
async fn other_claims_and_headers_do_not_matter() {
    let world = World::new().await;
    let draft = Draft::new("HS256").claim("scope", "a b").claim("nested", json!({"a": [1, null]}));
    let draft = draft.header("x5t", "abc").header("jku", "https://elsewhere.test");
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert!(world.auth.check_token(&draft.clone().header("typ", typ).token()).await.is_ok(), "{typ}");
    }
    assert!(world.auth.check_token(&draft.clone().without_header("typ").token()).await.is_ok());
}

#[tokio::test]
async fn a_token_may_have_eight_kib() {
    let world = World::new().await;
    let fill = |length| Draft::new("HS256").claim("x", "x".repeat(length)).token();
    let mut length = 5_900;
    while fill(length + 1).len() <= tidings_auth::MAX_CREDENTIAL_BYTES {
        length += 1;
    }
    assert!(world.auth.check_token(&fill(length)).await.is_ok());
    assert_eq!(world.auth.check_token(&fill(length + 1)).await, Err(Refusal::TooLong));
}
