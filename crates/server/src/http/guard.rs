//! What every request passes before its route: where it comes from, and what its answer says to browsers.

use crate::app::App;
use crate::http::problem::{Code, Problem};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;

/// Refuses what a page elsewhere sends, answers preflights, and allows what is allowed by name.
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !app.origins.allows(headers) {
        return Problem::new(Code::Forbidden, "this Origin or Host is not allowed here").into_response();
    }
    let origin = headers.get(header::ORIGIN).cloned();
    let preflight =
        request.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        for (name, value) in if preflight { PREFLIGHT } else { ANSWER } {
            headers.insert(name.clone(), HeaderValue::from_static(value));
        }
    }
    response
}

const PREFLIGHT: &[(HeaderName, &str)] = &[
    (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, DELETE"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, idempotency-key, last-event-id"),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

const ANSWER: &[(HeaderName, &str)] = &[
    (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "link, idempotency-replayed, retry-after"),
];
