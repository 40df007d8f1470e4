//! Tokens that this server signs itself.

use crate::support::{AUDIENCE, ISSUER, ManualClock, SECRET, World, key_path, with_secret};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tidings_auth::{Auth, CannotMint, Refusal, Settings};
use tidings_domain::{Clock, UserId};

const MINUTE: Duration = Duration::from_secs(60);

fn ana() -> UserId {
    UserId::new("ana").unwrap()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

#[tokio::test]
async fn what_is_minted_is_accepted_until_its_end() {
    let world = World::new().await;
    let (token, expires_at) = world.auth.mint(&ana(), MINUTE).unwrap();
    assert_eq!(expires_at, world.clock.now().after(MINUTE));
    let verified = world.auth.check_token(&token).await.unwrap();
    assert_eq!((verified.user, verified.expires_at), (ana(), expires_at));
    assert_eq!(verified.issued_at, Some(world.clock.now()));
    world.clock.advance(MINUTE);
    assert_eq!(world.auth.check_token(&token).await, Err(Refusal::Expired));
}

#[tokio::test]
async fn it_says_what_is_configured() {
    let world = World::new().await;
    let (token, _) = world.auth.mint(&ana(), MINUTE).unwrap();
    let now = ManualClock::START;
    assert_eq!(part(&token, 0), json!({ "alg": "HS256", "typ": "JWT" }));
    let claims = json!({ "sub": "ana", "iat": now, "exp": now + 60, "aud": AUDIENCE, "iss": ISSUER });
    assert_eq!(part(&token, 1), claims);
}

#[tokio::test]
async fn it_says_nothing_that_is_not_configured() {
    let auth = with_secret(Arc::new(ManualClock::new())).await;
    let (token, _) = auth.mint(&ana(), MINUTE).unwrap();
    let now = ManualClock::START;
    assert_eq!(part(&token, 1), json!({ "sub": "ana", "iat": now, "exp": now + 60 }));
}

#[tokio::test]
async fn the_end_is_a_whole_second_and_the_beginning_a_millisecond() {
    let clock = Arc::new(ManualClock::new());
    let auth = with_secret(clock.clone()).await;
    for millis in [1, 122, 500, 999] {
        clock.advance(Duration::from_millis(millis));
        let now = clock.now();
        let (token, expires_at) = auth.mint(&ana(), MINUTE).unwrap();
        assert_eq!(expires_at.as_millis() % 1000, 0);
        assert!(expires_at <= now.after(MINUTE));
        assert_eq!(auth.check_token(&token).await.unwrap().issued_at, Some(now));
    }
}

#[tokio::test]
async fn a_time_that_cannot_be_is_refused() {
    let auth = with_secret(Arc::new(ManualClock::new())).await;
    for (ttl, problem) in [
        (Duration::ZERO, CannotMint::TooShort),
        (Duration::from_millis(999), CannotMint::TooShort),
        (Duration::from_secs(400_000_000_000), CannotMint::TooLong),
        (Duration::MAX, CannotMint::TooLong),
    ] {
        assert_eq!(auth.mint(&ana(), ttl), Err(problem));
    }
    assert!(auth.mint(&ana(), Duration::from_secs(1)).is_ok());
    // The last second that a timestamp can be written in.
    let longest = Duration::from_secs(253_402_207_200 - ManualClock::START.unsigned_abs());
    let (token, _) = auth.mint(&ana(), longest).unwrap();
    assert_eq!(auth.check_token(&token).await.unwrap().expires_at.to_string(), "9999-12-30T22:00:00.000Z");
    assert_eq!(auth.mint(&ana(), longest + Duration::from_secs(1)), Err(CannotMint::TooLong));
}

#[tokio::test]
async fn only_a_secret_mints() {
    let settings = Settings { public_key_file: Some(key_path("ed25519.public.pem")), ..Settings::default() };
    let auth = Auth::new(settings, Arc::new(ManualClock::new())).await.unwrap();
    assert!(!auth.can_mint());
    assert_eq!(auth.mint(&ana(), MINUTE), Err(CannotMint::NoSecret));
}

#[tokio::test]
async fn another_secret_accepts_nothing_of_it() {
    let clock = Arc::new(ManualClock::new());
    let settings = Settings { jwt_secret: Some(format!("{SECRET}!").into()), ..Settings::default() };
    let other = Auth::new(settings, clock.clone()).await.unwrap();
    let (token, _) = with_secret(clock).await.mint(&ana(), MINUTE).unwrap();
    assert_eq!(other.check_token(&token).await, Err(Refusal::BadSignature));
}
