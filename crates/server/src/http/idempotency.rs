use crate::app::App;
use crate::http::problem::Problem;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tidings_domain::{Invalid, limits};
use tidings_store::{Appended, Idempotency, Receipt};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The `Idempotency-Key` of a request, if it has one.
pub struct IdempotencyKey(Option<String>);

impl FromRequestParts<Arc<App>> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(KEY).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let key = value.to_str().unwrap_or_default();
        if values.next().is_some() {
            return Err(Invalid::one("Idempotency-Key", "is given twice").into());
        }
        if !(1..=limits::IDEMPOTENCY_KEY_BYTES).contains(&key.len()) {
            let detail = format!("must be 1 to {} visible ASCII characters", limits::IDEMPOTENCY_KEY_BYTES);
            return Err(Invalid::one("Idempotency-Key", detail).into());
        }
        Ok(Self(Some(key.to_owned())))
    }
}

impl IdempotencyKey {
    /// What the store needs to tell a retry from another request.
    pub fn of(self, route: &str, body: &str, note: Vec<u8>) -> Option<Idempotency> {
        let key = self.0?;
        let fingerprint =
            Sha256::new().chain_update(route).chain_update([0]).chain_update(body).finalize().into();
        Some(Idempotency { key, fingerprint, note })
    }
}

/// What was stored, now or before.
pub struct Answered {
    /// One an item, in order.
    pub receipts: Vec<Receipt>,
    /// What was noted, when it was before.
    pub note: Option<Vec<u8>>,
}

impl From<Appended> for Answered {
    fn from(appended: Appended) -> Self {
        match appended {
            Appended::Stored(receipts) => Self { receipts, note: None },
            Appended::Replayed { receipts, note } => Self { receipts, note: Some(note) },
        }
    }
}

/// Says so when an answer was given before.
pub fn replayed(replayed: bool, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
