//! Who is speaking. An API key or a user's token goes in, a [`Principal`] or a [`Refusal`] comes out; what a principal
//! may do is asked of the principal. Nothing here knows of requests, sockets or stores, so that every way into the
//! server asks the same question in the same place.
//!
//! **Keys and algorithms.** Every configured key has exactly one algorithm, from what the key *is*: the shared secret
//! takes HS256, an RSA key RS256, a P-256 key ES256, an Ed25519 key EdDSA. A token's header never chooses how it is
//! verified; it must name the algorithm of a configured key, and only such keys are tried. Several kinds of keys may be
//! configured at once.
//!
//! **Time** comes from the [`Clock`](tidings_domain::Clock). A token has ended in the millisecond of its `exp`, without
//! leeway. `nbf` and `iat` may lie up to five seconds ahead, because the issuer's clock is another one.
//!
//! **Secrets** are held in types whose `Debug` hides them. No error of this crate quotes what was presented or
//! configured: a refusal's text is a constant.

mod algorithm;
mod api_keys;
mod auth;
mod claims;
mod fetch;
mod jwk;
mod jwks;
mod key;
mod mint;
mod principal;
mod public_key_file;
mod refusal;
mod settings;
mod timing;
mod token;
mod unusable;

pub use auth::Auth;
pub use mint::CannotMint;
pub use principal::{Principal, Verified};
pub use refusal::Refusal;
pub use secrecy::{ExposeSecret, SecretString};
pub use settings::Settings;
pub use timing::JwksTiming;
pub use unusable::Unusable;

/// The longest credential that is looked at.
pub const MAX_CREDENTIAL_BYTES: usize = 8 * 1024;
