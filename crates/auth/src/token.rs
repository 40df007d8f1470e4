use crate::algorithm::Algorithm;
use crate::{MAX_CREDENTIAL_BYTES, Refusal};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

/// A token taken apart, nothing of it believed yet. The claims stay encoded until the signature was verified.
pub(crate) struct Token<'a> {
    /// What the header names; to be matched with the keys' own algorithms.
    pub(crate) algorithm: Algorithm,
    /// The key that the header names.
    pub(crate) key_id: Option<String>,
    /// What was signed: the header and the claims as they were sent.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    encoded_claims: &'a str,
}

/// The parts of a header that matter. Keys that it brings along (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    /// Its mere presence means: refuse unless understood (RFC 7515 §4.1.11).
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// A JWS in the compact form has these three parts.
pub(crate) fn has_shape(presented: &str) -> bool {
    presented.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl<'a> Token<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.is_empty() {
            return Err(Refusal::Missing);
        }
        if token.len() > MAX_CREDENTIAL_BYTES {
            return Err(Refusal::TooLong);
        }
        if !has_shape(token) {
            return Err(Refusal::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, encoded_claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = json(header)?;
        if header.crit {
            return Err(Refusal::UnknownExtension);
        }
        if header.typ.as_deref().is_some_and(|typ| !is_for_access(typ)) {
            return Err(Refusal::WrongType);
        }
        Ok(Self {
            algorithm: Algorithm::from_name(&header.alg).ok_or(Refusal::WrongAlgorithm)?,
            key_id: header.kid,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
            encoded_claims,
        })
    }

    /// The claims as JSON; only for those who have verified the signature.
    pub(crate) fn claims(&self) -> Result<Vec<u8>, Refusal> {
        decode(self.encoded_claims)
    }
}

/// One issuer's keys also sign tokens of other kinds (logout, DPoP, security events), which RFC 8725 §3.11 tells apart
/// by `typ`. Plain and access tokens are for us.
fn is_for_access(typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let short = match typ.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
        _ => typ,
    };
    short.eq_ignore_ascii_case("jwt") || short.eq_ignore_ascii_case("at+jwt")
}

/// Strict: no padding, no other alphabet, no stray bits, so that one token has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Refusal::Malformed)
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, Refusal> {
    serde_json::from_slice(&decode(part)?).map_err(|_| Refusal::Malformed)
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}
