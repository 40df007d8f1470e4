//! Each kind of key, configured alone, takes its own algorithm and none of the others.

use crate::support::{
    Draft, KeySetServer, ManualClock, Reply, SECRET, TIMING, jwk, key_path, key_set, with_key_set,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use std::sync::Arc;
use tidings_auth::{Auth, Refusal, Settings};

async fn takes_only(settings: Settings, algorithm: &str) {
    let auth = Auth::new(settings, Arc::new(ManualClock::new())).await.unwrap();
    assert!(!auth.is_open());
    for each in ["HS256", "RS256", "ES256", "EdDSA"] {
        let checked =
            auth.check_token(&Draft::new(each).token()).await.map(|verified| verified.user.to_string());
        let expected = if each == algorithm { Ok("ana".into()) } else { Err(Refusal::WrongAlgorithm) };
        assert_eq!(checked, expected, "{each}");
    }
}

fn file(name: &str) -> Settings {
    Settings { public_key_file: Some(key_path(name)), ..Settings::default() }
}

#[tokio::test]
async fn a_secret_takes_hs256() {
    takes_only(Settings { jwt_secret: Some(SECRET.into()), ..Settings::default() }, "HS256").await;
}

#[tokio::test]
async fn an_rsa_file_takes_rs256() {
    takes_only(file("rsa.public.pem"), "RS256").await;
}

#[tokio::test]
async fn an_rsa_file_in_its_older_form_takes_rs256() {
    takes_only(file("rsa-pkcs1.public.pem"), "RS256").await;
}

#[tokio::test]
async fn a_p256_file_takes_es256() {
    takes_only(file("p256.public.pem"), "ES256").await;
}

#[tokio::test]
async fn an_ed25519_file_takes_eddsa() {
    takes_only(file("ed25519.public.pem"), "EdDSA").await;
}

/// The key set serves this one key; whether a good token of this algorithm passes.
async fn served(key: Value, draft: &Draft) -> Result<(), Refusal> {
    let server = KeySetServer::start(Reply::Set(key_set(&[key]))).await;
    let auth = with_key_set(&server, Arc::new(ManualClock::new()), TIMING).await;
    auth.check_token(&draft.token()).await.map(|_| ())
}

const ASYMMETRIC: [(&str, &str); 3] = [("RS256", "rsa"), ("ES256", "p256"), ("EdDSA", "ed25519")];

#[tokio::test]
async fn a_served_key_takes_its_own_algorithm() {
    for (algorithm, name) in ASYMMETRIC {
        let draft = Draft::new(algorithm).header("kid", "k");
        assert_eq!(served(jwk(name, "k"), &draft).await, Ok(()), "implied by what it is");
        let mut key = jwk(name, "k");
        key["alg"] = json!(algorithm);
        key["use"] = json!("sig");
        key["key_ops"] = json!(["verify"]);
        key["x5t"] = json!("ignored");
        assert_eq!(served(key, &draft).await, Ok(()), "said by the key");
    }
}

#[tokio::test]
async fn a_served_key_takes_no_other_algorithm() {
    for (_, name) in ASYMMETRIC {
        for (other, _) in ASYMMETRIC.iter().filter(|(_, other)| *other != name) {
            let draft = Draft::new(other).header("kid", "k");
            assert_eq!(served(jwk(name, "k"), &draft).await, Err(Refusal::WrongAlgorithm), "{name} {other}");
        }
    }
}

#[tokio::test]
async fn keys_for_other_purposes_are_not_accepted() {
    for (algorithm, name) in ASYMMETRIC {
        for (field, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["encrypt", "wrapKey"])),
            ("key_ops", json!([])),
            ("alg", json!("RS512")),
            ("alg", json!("PS256")),
            ("alg", json!("RSA-OAEP")),
            ("alg", json!("HS256")),
            ("alg", json!("none")),
            ("alg", json!("")),
            ("kty", json!("oct")),
            ("kty", json!(7)),
            // The private part: everybody who read the set can sign.
            ("d", json!("AQAB")),
        ] {
            let mut key = jwk(name, "k");
            key[field] = value.clone();
            let draft = Draft::new(algorithm).header("kid", "k");
            assert_eq!(served(key, &draft).await, Err(Refusal::UnknownKey), "{name} with {field} {value}");
        }
    }
}

#[tokio::test]
async fn damaged_keys_are_not_accepted() {
    for (name, field, value) in [
        ("rsa", "n", json!("AQAB")),
        ("rsa", "n", json!("not base64!")),
        ("rsa", "e", json!("AQ")),
        ("rsa", "e", json!("")),
        ("rsa", "e", json!(65537)),
        ("p256", "x", json!("AAAA")),
        ("p256", "x", jwk("p256-other", "k")["x"].clone()),
        ("p256", "y", Value::Null),
        ("p256", "crv", json!("P-384")),
        ("p256", "crv", json!("secp256k1")),
        ("ed25519", "x", json!("AAAA")),
        ("ed25519", "crv", json!("X25519")),
    ] {
        let mut key = jwk(name, "k");
        key[field] = value.clone();
        let algorithm = ASYMMETRIC.iter().find(|(_, own)| *own == name).unwrap().0;
        let draft = Draft::new(algorithm).header("kid", "k");
        assert_eq!(served(key, &draft).await, Err(Refusal::UnknownKey), "{name} with {field} {value}");
    }
}

#[tokio::test]
async fn a_point_has_one_spelling() {
    let mut key = jwk("p256", "k");
    let [x, y] =
        ["x", "y"].map(|half| BASE64URL_NOPAD.decode(key[half].as_str().unwrap().as_bytes()).unwrap());
    // The same bytes, cut elsewhere.
    key["x"] = json!(BASE64URL_NOPAD.encode(&[&x, &y[..1]].concat()));
    key["y"] = json!(BASE64URL_NOPAD.encode(&y[1..]));
    assert_eq!(served(key, &Draft::new("ES256").header("kid", "k")).await, Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn a_served_secret_is_never_accepted() {
    for kid in ["k", "secret"] {
        let draft = Draft::new("HS256").header("kid", kid);
        assert_eq!(served(jwk("secret", kid), &draft).await, Err(Refusal::WrongAlgorithm));
    }
}

#[tokio::test]
async fn one_bad_key_does_not_spoil_the_set() {
    let keys = [
        json!(7),
        json!({}),
        json!({"kty": "EC"}),
        jwk("secret", "s"),
        jwk("p384", "x"),
        jwk("p256", "p256"),
    ];
    let server = KeySetServer::start(Reply::Set(key_set(&keys))).await;
    let auth = with_key_set(&server, Arc::new(ManualClock::new()), TIMING).await;
    assert!(auth.check_token(&Draft::new("ES256").token()).await.is_ok());
}
