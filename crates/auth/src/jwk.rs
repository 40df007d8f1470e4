use crate::algorithm::Algorithm;
use crate::key::Key;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::Value;

/// More than any issuer serves; bounds the work that one token without a `kid` can cause.
const MAX_KEYS: usize = 64;

/// A key of a key set, under the name that tokens use for it.
#[derive(Debug, Clone)]
pub(crate) struct NamedKey {
    pub(crate) id: Option<String>,
    pub(crate) key: Key,
}

/// What is not a key set at all, unlike a set with keys that cannot be used here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAKeySet;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    alg: Option<String>,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private part. Whoever can read the set can then sign: such a key proves nothing.
    d: Option<Value>,
}

/// The keys of a set that can verify tokens; the others (RFC 7517 §5 wants them ignored) are left out.
pub(crate) fn parse_set(json: &[u8]) -> Result<Vec<NamedKey>, NotAKeySet> {
    let set: Set = serde_json::from_slice(json).map_err(|_| NotAKeySet)?;
    Ok(set.keys.into_iter().filter_map(usable).take(MAX_KEYS).collect())
}

fn usable(json: Value) -> Option<NamedKey> {
    let jwk: Jwk = serde_json::from_value(json).ok()?;
    if jwk.r#use.as_ref().is_some_and(|purpose| purpose != "sig")
        || jwk.key_ops.as_ref().is_some_and(|all| !all.iter().any(|one| one == "verify"))
    {
        return None;
    }
    if jwk.d.is_some() {
        tracing::warn!("the key set serves the private part of a key, which is therefore not accepted");
        return None;
    }
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Key::rsa(&bytes(jwk.n.as_deref())?, &bytes(jwk.e.as_deref())?),
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(jwk.x.as_deref())?, bytes(jwk.y.as_deref())?);
            // Full width, so that no two spellings make one point (RFC 7518 §6.2.1.2).
            if (x.len(), y.len()) != (32, 32) {
                return None;
            }
            Key::p256(&[&[4], x.as_slice(), &y].concat())
        }
        ("OKP", Some("Ed25519")) => Key::ed25519(&bytes(jwk.x.as_deref())?),
        // Symmetric keys (`oct`) above all: what is served to everybody is no secret.
        _ => return None,
    };
    let key = key.inspect_err(|problem| tracing::warn!("a key of the key set {problem}")).ok()?;
    let own = jwk.alg.is_none_or(|alg| Algorithm::from_name(&alg) == Some(key.algorithm()));
    own.then_some(NamedKey { id: jwk.kid, key })
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text?.as_bytes()).ok()
}
