use crate::{Refusal, Verified};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use tidings_domain::{Timestamp, UserId};

/// How far ahead `nbf` and `iat` may lie: the issuer's clock is another one.
const LEEWAY: Duration = Duration::from_secs(5);

/// What the configuration demands of every token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) audience: Option<String>,
    pub(crate) issuer: Option<String>,
}

/// The claims that are looked at. A claim that occurs twice is refused by the parser.
#[derive(Deserialize)]
struct Claims {
    sub: Option<Value>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    iss: Option<Value>,
    aud: Option<Value>,
}

/// Checks the claims of a token whose signature is valid.
pub(crate) fn check(json: &[u8], expected: &Expected, now: Timestamp) -> Result<Verified, Refusal> {
    let claims: Claims = serde_json::from_slice(json).map_err(|_| Refusal::Malformed)?;
    let expires_at = claims.exp.ok_or(Refusal::NoExpiry)?.0;
    if now >= expires_at {
        return Err(Refusal::Expired);
    }
    let issued_at = claims.iat.map(|at| at.0);
    if [claims.nbf.map(|at| at.0), issued_at].into_iter().flatten().any(|from| from > now.after(LEEWAY)) {
        return Err(Refusal::NotYetValid);
    }
    if expected.issuer.as_ref().is_some_and(|issuer| !is_text(claims.iss.as_ref(), issuer)) {
        return Err(Refusal::WrongIssuer);
    }
    if expected.audience.as_ref().is_some_and(|audience| !is_or_contains(claims.aud.as_ref(), audience)) {
        return Err(Refusal::WrongAudience);
    }
    let subject = claims.sub.as_ref().and_then(Value::as_str).ok_or(Refusal::BadSubject)?;
    let user = UserId::new(subject).map_err(|_| Refusal::BadSubject)?;
    Ok(Verified { user, expires_at, issued_at })
}

fn is_text(claim: Option<&Value>, text: &str) -> bool {
    claim.and_then(Value::as_str) == Some(text)
}

fn is_or_contains(claim: Option<&Value>, text: &str) -> bool {
    match claim {
        Some(Value::Array(all)) => all.iter().any(|one| is_text(Some(one), text)),
        one => is_text(one, text),
    }
}

/// Seconds since 1970, fractions allowed (RFC 7519 §2), within the years that a [`Timestamp`] can be written in.
#[derive(Deserialize)]
#[serde(try_from = "f64")]
struct NumericDate(Timestamp);

/// 9999-12-30T22:00:00Z, the last one that every offset can write with four digits for the year.
pub(crate) const LAST_SECOND: i64 = 253_402_207_200;

impl TryFrom<f64> for NumericDate {
    type Error = &'static str;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        if !(0.0..=LAST_SECOND as f64).contains(&seconds) {
            return Err("not a date");
        }
        Ok(Self(Timestamp::from_millis((seconds * 1000.0).round() as i64)))
    }
}
