//! No text that the crate makes contains a secret.

use crate::support::{API_KEY, Draft, ManualClock, SECRET, World, key_path};
use std::sync::Arc;
use std::time::Duration;
use tidings_auth::{Auth, CannotMint, Refusal, Settings, Unusable};
use tidings_domain::UserId;

fn settings() -> Settings {
    Settings {
        api_keys: vec![API_KEY.into()],
        jwt_secret: Some(SECRET.into()),
        public_key_file: Some(key_path("rsa.public.pem")),
        ..Settings::default()
    }
}

#[track_caller]
fn hides(text: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!text.contains(secret), "{text} contains {secret}");
        assert!(!text.contains(&format!("{:?}", secret.as_bytes())), "{text} contains the bytes of {secret}");
    }
}

#[tokio::test]
async fn debug_hides_them() {
    let world = World::new().await;
    for text in [
        format!("{:?}", settings()),
        format!("{:#?}", settings()),
        format!("{:?}", world.auth),
        format!("{:#?}", world.auth),
    ] {
        hides(&text, &[API_KEY, SECRET, "hidden-in-the-query"]);
    }
}

#[tokio::test]
async fn a_refusal_says_nothing_of_what_was_presented() {
    let world = World::new().await;
    let long = "x".repeat(9000);
    for presented in
        [&Draft::new("EdDSA").by("ed25519-other").token(), "not-quite-an-api-key", "a.b.c", &long]
    {
        let refusal = world.auth.check_bearer(presented).await.unwrap_err();
        hides(&format!("{refusal} {refusal:?} {} {}", refusal.code(), refusal.detail()), &[presented]);
    }
    // In general: they are constants.
    for refusal in Refusal::ALL {
        let _: &'static str = refusal.detail();
    }
}

#[tokio::test]
async fn what_is_unusable_is_not_quoted() {
    let settings = Settings {
        api_keys: vec!["tooshort".into(), "with spaces and long enough".into()],
        jwt_secret: Some("short too".into()),
        jwks_url: Some("https://user:hunter2@issuer.test/".into()),
        ..Settings::default()
    };
    let error: Unusable = Auth::new(settings, Arc::new(ManualClock::new())).await.unwrap_err();
    assert_eq!(error.sentences().len(), 4);
    let text = format!("{error} {error:?}");
    hides(&text, &["tooshort", "with spaces and long enough", "short too", "hunter2", "user:"]);
}

#[tokio::test]
async fn nor_is_a_minted_token() {
    let world = World::new().await;
    let error: CannotMint = world.auth.mint(&UserId::new("ana").unwrap(), Duration::ZERO).unwrap_err();
    hides(&format!("{error} {error:?}"), &[SECRET]);
    hides(&world.auth.mint(&UserId::new("ana").unwrap(), Duration::from_secs(60)).unwrap().0, &[SECRET]);
}
