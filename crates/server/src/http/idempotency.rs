use crate::app::App;
use crate::http::problem::Problem;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tidings_domain::{Invalid, Timestamp, limits};
use tidings_store::{Appended, Idempotency, Outgoing, Receipt};

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
    fn of(self, route: &str, body: &str) -> Option<Idempotency> {
        let key = self.0?;
        let fingerprint =
            Sha256::new().chain_update(route).chain_update([0]).chain_update(body).finalize().into();
        Some(Idempotency { key, fingerprint, note: Vec::new() })
    }
}

/// What a request asks to be stored, judged at one moment.
pub struct Judged {
    /// To be stored, all or none.
    pub outgoing: Vec<Outgoing>,
    /// Kept beside the key; see [`Idempotency::note`].
    pub note: Vec<u8>,
}

/// Stores what a request asks for, or finds what was stored when the same request came before. `judge` says what a request
/// of this moment asks for; its refusal does not hold for a retry, whose moment was another one. So every route that sends
/// goes this way, and none reads the clock itself.
///
/// The store looks a key up before it stores anything under it, so that only a refusal needs a look-up of its own.
pub async fn answered(
    app: &App,
    key: IdempotencyKey,
    route: &str,
    body: &str,
    judge: impl FnOnce(Timestamp) -> Result<Judged, Problem>,
) -> Result<Answered, Problem> {
    let idempotency = key.of(route, body);
    match (judge(app.clock.now()), idempotency) {
        (Ok(Judged { outgoing, note }), idempotency) => {
            let idempotency = idempotency.map(|idempotency| Idempotency { note, ..idempotency });
            Ok(app.store.append(outgoing, idempotency).await?.into())
        }
        (Err(problem), Some(idempotency)) => {
            let first = app.store.first_answer(&idempotency).await?;
            first.map(Answered::from).ok_or(problem)
        }
        (Err(problem), None) => Err(problem),
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
