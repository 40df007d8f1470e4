use crate::algorithm::Algorithm;
use crate::api_keys::ApiKeys;
use crate::claims::{self, Expected};
use crate::fetch::Fetcher;
use crate::jwks::Jwks;
use crate::key::Key;
use crate::token::{self, Token};
use crate::unusable::note;
use crate::{CannotMint, JwksTiming, Principal, Refusal, Settings, Unusable, Verified};
use crate::{mint, public_key_file};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use tidings_domain::{Clock, Timestamp, UserId};

/// Less is refused: RFC 7518 §3.2 wants a secret as long as the hash.
const MIN_SECRET_BYTES: usize = 32;

/// The one place that knows the keys and says who is speaking. `Debug` hides them.
pub struct Auth {
    api_keys: ApiKeys,
    /// The shared secret and the key of the file, each where it is configured.
    keys: Vec<Key>,
    jwks: Option<Arc<Jwks>>,
    expected: Expected,
    clock: Arc<dyn Clock>,
}

impl Auth {
    /// Takes the settings, or says in one sentence each what of them cannot be used. A key set that cannot be fetched
    /// now is not among that: it is logged, and fetched when a token needs it.
    pub async fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Unusable> {
        Self::with_timing(settings, clock, JwksTiming::default()).await
    }

    /// As [`Auth::new`], with another rhythm for the key set.
    pub async fn with_timing(
        settings: Settings,
        clock: Arc<dyn Clock>,
        timing: JwksTiming,
    ) -> Result<Self, Unusable> {
        let mut sentences = Vec::new();
        let api_keys = ApiKeys::new(&settings.api_keys);
        let api_keys = api_keys.map_err(|several| sentences.extend(several)).ok();
        let mut keys = Vec::new();
        if let Some(secret) = &settings.jwt_secret {
            keys.extend(note(&mut sentences, shared_secret(secret)));
        }
        if let Some(path) = &settings.public_key_file {
            keys.extend(note(&mut sentences, public_key_file::read(path)));
        }
        let url = settings.jwks_url.as_ref();
        let fetcher = url.map(|url| Fetcher::new(url.expose_secret(), timing.timeout));
        let fetcher = fetcher.and_then(|fetcher| note(&mut sentences, fetcher));
        for (name, value) in
            [("TIDINGS_JWT_AUDIENCE", &settings.audience), ("TIDINGS_JWT_ISSUER", &settings.issuer)]
        {
            if value.as_ref().is_some_and(String::is_empty) {
                sentences.push(format!("{name} is empty; name one or leave it unset."));
            }
        }
        Unusable::unless_empty(sentences)?;

        let jwks = fetcher.map(|fetcher| Jwks::new(fetcher, timing, clock.clone()));
        if let Some(jwks) = &jwks {
            jwks.warn_of(settings.audience.is_none());
            jwks.warm_up().await;
        }
        let expected = Expected { audience: settings.audience, issuer: settings.issuer };
        Ok(Self { api_keys: api_keys.unwrap_or_default(), keys, jwks, expected, clock })
    }

    /// Open mode: neither an API key nor a key for tokens is configured.
    pub fn is_open(&self) -> bool {
        self.api_keys.is_empty() && self.keys.is_empty() && self.jwks.is_none()
    }

    /// Whether [`Auth::mint`] can work here: a shared secret is configured.
    pub fn can_mint(&self) -> bool {
        self.secret().is_some()
    }

    /// Whether it is one of the API keys, in constant time over all of them.
    pub fn check_api_key(&self, presented: &str) -> bool {
        self.api_keys.contain(presented)
    }

    /// Whose token it is. Waits for the network only where a key set is configured and does not know the token's key.
    pub async fn check_token(&self, token: &str) -> Result<Verified, Refusal> {
        let token = Token::parse(token)?;
        self.verify(&token).await?;
        claims::check(&token.claims()?, &self.expected, self.clock.now())
    }

    /// Who presents this, be it an API key or a token, without the word `Bearer`. In open mode anybody.
    pub async fn check_bearer(&self, presented: &str) -> Result<Principal, Refusal> {
        if self.is_open() {
            return Ok(Principal::Anybody);
        }
        if presented.is_empty() {
            return Err(Refusal::Missing);
        }
        if self.check_api_key(presented) {
            return Ok(Principal::ApiKey);
        }
        if !token::has_shape(presented) {
            return Err(Refusal::WrongApiKey);
        }
        self.check_token(presented).await.map(Principal::User)
    }

    /// An HS256 token for `user` that [`Auth::check_token`] accepts until the moment returned, which is within `ttl`.
    pub fn mint(&self, user: &UserId, ttl: Duration) -> Result<(String, Timestamp), CannotMint> {
        let secret = self.secret().ok_or(CannotMint::NoSecret)?;
        mint::mint(secret, &self.expected, user, self.clock.now(), ttl)
    }

    fn secret(&self) -> Option<&ring::hmac::Key> {
        self.keys.iter().find_map(|key| if let Key::Secret(secret) = key { Some(secret) } else { None })
    }

    /// Only keys whose own algorithm the header names are tried; those of this process before those of the key set.
    async fn verify(&self, token: &Token<'_>) -> Result<(), Refusal> {
        let mut refusal = Refusal::WrongAlgorithm;
        for key in self.keys.iter().filter(|key| key.algorithm() == token.algorithm) {
            if key.verifies(token.signed, &token.signature) {
                return Ok(());
            }
            refusal = Refusal::BadSignature;
        }
        match &self.jwks {
            // A key set holds no secrets, see `jwk`; it is not even asked.
            Some(jwks) if token.algorithm != Algorithm::Hs256 => match jwks.verify(token).await {
                // It names no key that could be unknown, and the one at hand was tried.
                Err(Refusal::UnknownKey) if token.key_id.is_none() && refusal == Refusal::BadSignature => {
                    Err(refusal)
                }
                result => result,
            },
            _ => Err(refusal),
        }
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("api_keys", &self.api_keys)
            .field("keys", &self.keys)
            .field("jwks", &self.jwks)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// The error is a sentence for the operator.
fn shared_secret(secret: &SecretString) -> Result<Key, String> {
    let secret = secret.expose_secret();
    if secret.is_empty() {
        return Err("TIDINGS_JWT_SECRET is empty; name one or leave it unset.".into());
    }
    // A public key as a shared secret would let everybody sign.
    if secret.contains("-----BEGIN") {
        return Err("TIDINGS_JWT_SECRET holds a PEM block; a public key belongs into a file that \
                    TIDINGS_JWT_PUBLIC_KEY_FILE names."
            .into());
    }
    if secret.len() < MIN_SECRET_BYTES {
        return Err(format!(
            "TIDINGS_JWT_SECRET is too short: at least {MIN_SECRET_BYTES} bytes are required."
        ));
    }
    Ok(Key::secret(secret.as_bytes()))
}
