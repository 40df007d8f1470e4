use crate::http::RequestId;
use crate::input::{Malformed, Refused};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tidings_domain::{FieldError, Invalid};
use tidings_store::StoreError;

/// What a request got wrong, or what keeps the server from answering it; the stable `code` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request is malformed.
    InvalidRequest,
    /// It does not say who it is from, or cannot prove it.
    Unauthorized,
    /// It cannot be done in this state of things.
    Conflict,
    /// It comes from where it must not come from.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The route does not know this method.
    MethodNotAllowed,
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
    /// The cursor cannot be resumed.
    ResyncRequired,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// Too much at once.
    RateLimited,
    /// The request did not arrive in time.
    RequestTimeout,
    /// Not now.
    Unavailable,
    /// What is stored cannot be read; it does not pass.
    Damaged,
}

impl Code {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request", "Invalid request"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
            }
            Self::IdempotencyMismatch => (
                StatusCode::CONFLICT,
                "idempotency_mismatch",
                "The idempotency key was used for another request",
            ),
            Self::ResyncRequired => (StatusCode::GONE, "resync_required", "The cursor cannot be resumed"),
            Self::PayloadTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "Payload too large")
            }
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type")
            }
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "invalid_request", "Request timeout"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable"),
            Self::Damaged => (StatusCode::INTERNAL_SERVER_ERROR, "damaged", "Damaged"),
        }
    }
}

/// An error as RFC 9457 tells it.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
}

/// The JSON of a problem. That of a batch's item has no request of its own.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemBody {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl ProblemBody {
    /// The status that it tells.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// With a status that no code has.
    pub fn with_status(self, status: u16) -> Self {
        let known = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        Self { status, title: known.unwrap_or(self.title), ..self }
    }
}

impl Problem {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.code, Code::RateLimited | Code::Unavailable)
    }

    /// A problem with a text for people.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new() }
    }

    /// What it needs of the store is damaged.
    pub fn damaged() -> Self {
        Self::new(Code::Damaged, "what is stored here is damaged; the operator must restore it from a backup")
    }

    /// Nothing is there.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// Its JSON in the answer to a request.
    pub fn body_for(self, request: Option<RequestId>) -> ProblemBody {
        ProblemBody { request_id: request.map(|id| id.as_str().to_owned()), ..self.body() }
    }

    /// Its JSON.
    pub fn body(self) -> ProblemBody {
        let (status, code, title) = self.code.parts();
        let Self { detail, errors, .. } = self;
        ProblemBody {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            code,
            detail,
            request_id: None,
            errors,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, ..) = self.code.parts();
        let code = self.code;
        let retry = self.is_retryable();
        let json = serde_json::to_vec(&self.body_for(RequestId::current())).unwrap_or_default();
        let mut response = (status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self { errors: invalid.0.clone(), ..Self::new(Code::InvalidRequest, invalid.to_string()) }
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Self::new(Code::InvalidRequest, format!("the body cannot be read: {malformed}"))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed(malformed) => malformed.into(),
            Refused::Invalid(invalid) => invalid.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => {
                tracing::warn!(reason, "a request could not be carried out: the store is unavailable");
                Self::new(Code::Unavailable, "the store cannot do this now; try again")
            }
            StoreError::Damaged(reason) => {
                tracing::error!(
                    reason,
                    "a request could not be carried out: the store is damaged; restore it from a backup"
                );
                Self::damaged()
            }
            StoreError::IdempotencyMismatch => {
                Self::new(Code::IdempotencyMismatch, "send another key, or the same request as before")
            }
            StoreError::ResyncRequired(reason) => {
                Self::new(Code::ResyncRequired, format!("{reason}; read the inbox and go on from its head"))
            }
            StoreError::AboveHead { head } => {
                Invalid::one("rev", format!("is above the newest revision, {head}")).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_no_invitation_to_try_again() {
        let answer = Problem::from(StoreError::Damaged("a page".to_owned())).into_response();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!answer.headers().contains_key(header::RETRY_AFTER));
        let answer = Problem::from(StoreError::Unavailable("the disk".to_owned())).into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
    }
}
