use crate::claims::{Expected, LAST_SECOND};
use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use serde_json::json;
use std::time::Duration;
use tidings_domain::{Timestamp, UserId};

/// Why no token was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotMint {
    /// Only the shared secret signs; it is not configured.
    #[error("Tokens can be minted only where TIDINGS_JWT_SECRET is set.")]
    NoSecret,
    /// Less than a second: times in a token are whole seconds.
    #[error("A token must be valid for at least one second.")]
    TooShort,
    /// Past what a timestamp can be written in.
    #[error("A token's end must lie before the year 10000.")]
    TooLong,
}

/// An HS256 token for `user`, and when it ends. `exp` is a whole second and not later than asked for; `iat` keeps its
/// milliseconds, so that it can be told whether it was issued before or after a revocation.
pub(crate) fn mint(
    secret: &hmac::Key,
    expected: &Expected,
    user: &UserId,
    now: Timestamp,
    ttl: Duration,
) -> Result<(String, Timestamp), CannotMint> {
    if ttl < Duration::from_secs(1) {
        return Err(CannotMint::TooShort);
    }
    let seconds = now.after(ttl).as_millis().div_euclid(1000);
    if seconds > LAST_SECOND {
        return Err(CannotMint::TooLong);
    }
    let mut claims = json!({ "sub": user.as_str(), "iat": numeric_date(now), "exp": seconds });
    if let Some(audience) = &expected.audience {
        claims["aud"] = json!(audience);
    }
    if let Some(issuer) = &expected.issuer {
        claims["iss"] = json!(issuer);
    }
    let mut token = format!("{}.{}", encode(r#"{"alg":"HS256","typ":"JWT"}"#), encode(&claims.to_string()));
    let signature = BASE64URL_NOPAD.encode(hmac::sign(secret, token.as_bytes()).as_ref());
    token.push('.');
    token.push_str(&signature);
    Ok((token, Timestamp::from_millis(seconds * 1000)))
}

/// Whole seconds as an integer, for the readers that expect one.
fn numeric_date(at: Timestamp) -> serde_json::Number {
    let millis = at.as_millis();
    let fraction = (millis % 1000 != 0).then(|| serde_json::Number::from_f64(millis as f64 / 1000.0));
    fraction.flatten().unwrap_or_else(|| (millis / 1000).into())
}

fn encode(json: &str) -> String {
    BASE64URL_NOPAD.encode(json.as_bytes())
}
