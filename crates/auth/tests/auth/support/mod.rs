//! What the tests share: a clock that they turn, keys that sign, tokens made bit by bit, a server of key sets.

mod clock;
mod draft;
mod server;
mod signer;

pub use clock::ManualClock;
pub use draft::Draft;
pub use server::{KeySetServer, Reply};
pub use signer::{key_path, public_pem, sign};

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tidings_auth::{Auth, JwksTiming, SecretString, Settings};

pub const SECRET: &str = "a shared secret of more than 32 bytes";
pub const API_KEY: &str = "an-api-key-of-more-than-16-bytes";
pub const AUDIENCE: &str = "tidings";
pub const ISSUER: &str = "https://issuer.test";

/// The rhythm of the contract, but an impatient one.
pub const TIMING: JwksTiming = JwksTiming {
    timeout: Duration::from_secs(30),
    floor: Duration::from_secs(10),
    fresh_for: Duration::from_secs(600),
};

/// A JSON Web Key Set.
pub fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// The public half of a test key, under the name `kid`.
pub fn jwk(name: &str, kid: &str) -> Value {
    let mut jwk = signer::jwk(name);
    jwk["kid"] = json!(kid);
    jwk
}

/// Everything configured at once: the API key, the secret (HS256), `rsa` as a file (RS256), and a key set with
/// `p256`, `p256-other` and `ed25519` under their own names.
pub struct World {
    pub auth: Auth,
    pub clock: Arc<ManualClock>,
    pub server: KeySetServer,
}

impl World {
    pub async fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        let keys = ["p256", "p256-other", "ed25519"].map(|name| jwk(name, name));
        let server = KeySetServer::start(Reply::Set(key_set(&keys))).await;
        let settings = Settings {
            api_keys: vec![API_KEY.into()],
            jwt_secret: Some(SECRET.into()),
            public_key_file: Some(key_path("rsa.public.pem")),
            jwks_url: Some(server.url().into()),
            audience: Some(AUDIENCE.into()),
            issuer: Some(ISSUER.into()),
        };
        let auth = Auth::with_timing(settings, clock.clone(), TIMING).await.unwrap();
        Self { auth, clock, server }
    }
}

/// Only a shared secret, nothing demanded of `aud` and `iss`.
pub async fn with_secret(clock: Arc<ManualClock>) -> Auth {
    let settings = Settings { jwt_secret: Some(SecretString::from(SECRET)), ..Settings::default() };
    Auth::new(settings, clock).await.unwrap()
}

/// Only a key set, from this server.
pub async fn with_key_set(server: &KeySetServer, clock: Arc<ManualClock>, timing: JwksTiming) -> Auth {
    let settings = Settings { jwks_url: Some(server.url().into()), ..Settings::default() };
    Auth::with_timing(settings, clock, timing).await.unwrap()
}
