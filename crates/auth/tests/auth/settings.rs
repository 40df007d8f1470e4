//! What stops the start, each with its sentence, and what does not.

use crate::support::{ManualClock, SECRET, TIMING, key_path, public_pem};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use tidings_auth::{Auth, JwksTiming, Settings};

/// The sentences that the start would stop with.
async fn complaints(settings: Settings) -> Vec<String> {
    match Auth::with_timing(settings, Arc::new(ManualClock::new()), TIMING).await {
        Ok(_) => Vec::new(),
        Err(error) => error.sentences().to_vec(),
    }
}

async fn complaint_about_file(path: PathBuf) -> String {
    let shown = path.display().to_string();
    let all = complaints(Settings { public_key_file: Some(path), ..Settings::default() }).await;
    assert_eq!(all.len(), 1, "{shown}");
    all[0].replace(&shown, "FILE")
}

#[tokio::test]
async fn nothing_configured_is_usable() {
    assert!(complaints(Settings::default()).await.is_empty());
}

#[tokio::test]
async fn a_secret_has_at_least_32_bytes() {
    let with = |secret: &str| Settings { jwt_secret: Some(secret.into()), ..Settings::default() };
    assert!(complaints(with(&"x".repeat(32))).await.is_empty());
    for (secret, complaint) in [
        ("", "TIDINGS_JWT_SECRET is empty; name one or leave it unset."),
        (&"x".repeat(31), "TIDINGS_JWT_SECRET is too short: at least 32 bytes are required."),
        (
            &public_pem("rsa"),
            "TIDINGS_JWT_SECRET holds a PEM block; a public key belongs into a file that \
             TIDINGS_JWT_PUBLIC_KEY_FILE names.",
        ),
    ] {
        assert_eq!(complaints(with(secret)).await, [complaint]);
    }
}

#[tokio::test]
async fn a_public_key_file_holds_one_usable_public_key() {
    for (file, complaint) in [
        ("refused/rsa-1024.pem", "is an RSA key of 1024 bits, where 2048 to 8192 are required"),
        ("refused/rsa-2047.pem", "is an RSA key of 2047 bits, where 2048 to 8192 are required"),
        ("refused/secp256k1.pem", "holds a key on another curve than P-256"),
        ("p384.public.pem", "holds a key on another curve than P-256"),
        ("refused/x25519.pem", "holds a key that is neither RSA nor P-256 nor Ed25519"),
        ("refused/ed448.pem", "holds a key that is neither RSA nor P-256 nor Ed25519"),
        ("refused/p256-compressed.pem", "is not an uncompressed P-256 point (04, x, y)"),
        ("refused/certificate.pem", "holds a certificate; write its public key to a file of its own"),
        ("refused/rsa-private-pkcs1.pem", "holds a private key, where only the public one belongs"),
        ("refused/p256-private-sec1.pem", "holds a private key, where only the public one belongs"),
        ("refused/private-encrypted.pem", "holds a private key, where only the public one belongs"),
        ("refused/private-and-public.pem", "holds a private key, where only the public one belongs"),
        ("rsa.private.pem", "holds a private key, where only the public one belongs"),
        ("p256.private.pem", "holds a private key, where only the public one belongs"),
        ("ed25519.private.pem", "holds a private key, where only the public one belongs"),
        ("refused/two.pem", "holds 2 PEM blocks, where one public key is required"),
        ("README.md", "is not a PEM file"),
    ] {
        let said = complaint_about_file(key_path(file)).await;
        assert_eq!(said, format!("TIDINGS_JWT_PUBLIC_KEY_FILE: FILE {complaint}."), "{file}");
    }
}

#[tokio::test]
async fn an_unreadable_public_key_file_is_named() {
    let said = complaint_about_file(key_path("nowhere.pem")).await;
    assert!(said.starts_with("TIDINGS_JWT_PUBLIC_KEY_FILE: FILE cannot be read: "), "{said}");
    let said = complaint_about_file(key_path("")).await;
    assert!(said.contains("cannot be read"), "a folder: {said}");
}

#[tokio::test]
async fn a_damaged_public_key_file_is_refused() {
    let rsa = public_pem("rsa");
    let p256 = public_pem("p256");
    let lines: Vec<_> = p256.lines().collect();
    let mut numbers = pem::parse(public_pem("rsa-pkcs1")).unwrap().into_contents();
    numbers.push(0);
    for (text, complaint) in [
        (pem::encode(&pem::Pem::new("RSA PUBLIC KEY", numbers)), "holds a damaged RSA key"),
        (String::new(), "is not a PEM file"),
        (rsa.replace("-----END PUBLIC KEY-----", ""), "is not a PEM file"),
        (rsa.replace("PUBLIC KEY", "SOMETHING"), "holds a PEM block that is not a public key"),
        (rsa.replace("PUBLIC KEY", "RSA PUBLIC KEY"), "holds a damaged RSA key"),
        (rsa.lines().filter(|line| !line.starts_with("MII")).collect::<Vec<_>>().join("\n"), "damaged"),
        // The point's last bytes are those of another key.
        (
            [lines[0], lines[1], public_pem("p256-other").lines().nth(2).unwrap(), lines[3]].join("\n"),
            "on P-256",
        ),
        ("x".repeat(70_000), "is too large for a public key"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let said = complaint_about_file(file.path().to_owned()).await;
        assert!(said.contains(complaint), "{said} is not about: {complaint}");
    }
}

#[tokio::test]
async fn a_key_set_url_is_one() {
    for (url, complaint) in [
        ("", "this is not a URL"),
        ("not a url", "this is not a URL"),
        ("https://", "this is not a URL"),
        ("http://:80/keys", "the URL names no host"),
        ("issuer.test/keys", "this is not a URL"),
        ("issuer.test", "the URL must begin with http:// or https://"),
        ("/keys.json", "the URL must begin with http:// or https://"),
        ("file:///etc/passwd", "this is not a URL"),
        ("ftp://issuer.test/keys", "the URL must begin with http:// or https://"),
        ("https://issuer.test:99999/keys", "the URL's port is not one"),
        ("https://issuer.test:0/keys", "the URL's port is not one"),
        ("https://issuer.test:/keys", "the URL's port is not one"),
        ("https://user:password@issuer.test/keys", "the URL must not hold a user name or a password"),
    ] {
        let all = complaints(Settings { jwks_url: Some(url.into()), ..Settings::default() }).await;
        assert_eq!(all, [format!("TIDINGS_JWKS_URL: {complaint}.")], "{url}");
    }
}

#[tokio::test]
async fn an_empty_audience_or_issuer_is_refused() {
    let settings =
        Settings { audience: Some(String::new()), issuer: Some(String::new()), ..Settings::default() };
    assert_eq!(
        complaints(settings).await,
        [
            "TIDINGS_JWT_AUDIENCE is empty; name one or leave it unset.",
            "TIDINGS_JWT_ISSUER is empty; name one or leave it unset.",
        ]
    );
}

#[tokio::test]
async fn everything_unusable_is_said_at_once() {
    let settings = Settings {
        api_keys: vec!["".into(), "short".into()],
        jwt_secret: Some("short".into()),
        public_key_file: Some(key_path("nowhere.pem")),
        jwks_url: Some("gopher://issuer.test".into()),
        audience: Some(String::new()),
        issuer: None,
    };
    assert_eq!(complaints(settings).await.len(), 6);
}

#[tokio::test]
async fn the_rhythm_of_the_contract() {
    let timing = JwksTiming::default();
    assert_eq!((timing.floor.as_secs(), timing.fresh_for.as_secs(), timing.timeout.as_secs()), (10, 600, 5));
    let settings = Settings { jwt_secret: Some(SECRET.into()), ..Settings::default() };
    assert!(!Auth::new(settings, Arc::new(ManualClock::new())).await.unwrap().is_open());
}
