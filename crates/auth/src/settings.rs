use secrecy::SecretString;
use std::path::PathBuf;

/// What is configured of contract §5. `None` and an empty list mean unset; whatever is set must be usable, see
/// [`Auth::new`](crate::Auth::new). `Debug` hides the secrets.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Keys that may do everything, several at once for rotation. Each 16 to 1,024 bytes of visible ASCII, since
    /// nothing else can be sent in a header.
    pub api_keys: Vec<SecretString>,
    /// The secret of HS256 tokens, at least 32 bytes; taken as it is, not decoded.
    pub jwt_secret: Option<SecretString>,
    /// A PEM file with one public key: RSA of 2,048 to 8,192 bits, P-256 or Ed25519.
    pub public_key_file: Option<PathBuf>,
    /// Where a JSON Web Key Set is served, over http or https. Redirects are not followed. Its query may hold a secret.
    pub jwks_url: Option<SecretString>,
    /// What a token's `aud` must contain.
    pub audience: Option<String>,
    /// What a token's `iss` must be.
    pub issuer: Option<String>,
}
