//! What a presented credential makes of its bearer.

use crate::support::{API_KEY, Draft, ManualClock, World};
use std::sync::Arc;
use tidings_auth::{Auth, Principal, Refusal, Settings};
use tidings_domain::UserId;

#[tokio::test]
async fn an_api_key_is_an_api_key() {
    let world = World::new().await;
    assert_eq!(world.auth.check_bearer(API_KEY).await, Ok(Principal::ApiKey));
    assert!(world.auth.check_api_key(API_KEY));
}

#[tokio::test]
async fn a_token_is_its_user() {
    let world = World::new().await;
    for draft in Draft::each() {
        let principal = world.auth.check_bearer(&draft.token()).await.unwrap();
        let [ana, bo] = ["ana", "bo"].map(|user| UserId::new(user).unwrap());
        assert!(principal.may_use(&ana) && !principal.may_use(&bo) && !principal.may_send());
    }
}

#[tokio::test]
async fn anything_else_is_nobody() {
    let world = World::new().await;
    let near = &API_KEY[1..];
    for (presented, refusal) in [
        ("", Refusal::Missing),
        (" ", Refusal::WrongApiKey),
        (near, Refusal::WrongApiKey),
        ("an-api-key-of-more-than-16-bytes ", Refusal::WrongApiKey),
        ("AN-API-KEY-OF-MORE-THAN-16-BYTES", Refusal::WrongApiKey),
        ("a.b.c", Refusal::Malformed),
        (&Draft::new("ES256").by("p256-other").token(), Refusal::BadSignature),
        (&"x".repeat(10_000), Refusal::WrongApiKey),
        (&format!("a.b.{}", "x".repeat(9000)), Refusal::TooLong),
    ] {
        assert_eq!(world.auth.check_bearer(presented).await, Err(refusal), "{presented}");
    }
}

#[tokio::test]
async fn with_only_api_keys_no_token_passes() {
    let settings = Settings { api_keys: vec![API_KEY.into()], ..Settings::default() };
    let auth = Auth::new(settings, Arc::new(ManualClock::new())).await.unwrap();
    assert!(!auth.is_open() && !auth.can_mint());
    for draft in Draft::each() {
        assert_eq!(auth.check_bearer(&draft.token()).await, Err(Refusal::WrongAlgorithm));
    }
    assert_eq!(auth.check_bearer(API_KEY).await, Ok(Principal::ApiKey));
}

#[tokio::test]
async fn several_api_keys_hold_at_once() {
    let keys = ["the-key-of-yesterday", "the-key-of-today-123"];
    let settings = Settings { api_keys: keys.map(Into::into).to_vec(), ..Settings::default() };
    let auth = Auth::new(settings, Arc::new(ManualClock::new())).await.unwrap();
    for key in keys {
        assert!(auth.check_api_key(key));
    }
    assert!(!auth.check_api_key("the-key-of-tomorrow"));
}

#[tokio::test]
async fn in_open_mode_everybody_is_anybody() {
    let auth = Auth::new(Settings::default(), Arc::new(ManualClock::new())).await.unwrap();
    assert!(auth.is_open());
    for presented in ["", "anything", &Draft::new("HS256").token()] {
        assert_eq!(auth.check_bearer(presented).await, Ok(Principal::Anybody));
    }
    assert!(!auth.check_api_key(""), "there is no key that it could be");
    assert_eq!(auth.check_token(&Draft::new("HS256").token()).await, Err(Refusal::WrongAlgorithm));
}
