//! HTTP answers.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::NoRoom;
use crate::session::Refused;

/// Why a request is refused. Those with a number are the protocol's and go out as `{"code","message"}`, as the official
/// server has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorCode {
    UnknownTransport,
    UnknownSid,
    BadMethod,
    BadRequest,
    Forbidden,
    UnsupportedVersion,
    BodyTooLarge,
    HeadersTooLarge,
    NoRoom(NoRoom),
    Draining,
    Internal,
}

impl ErrorCode {
    pub(super) fn response(self) -> Response {
        use StatusCode as S;
        let (status, code, message) = match self {
            Self::UnknownTransport => (S::BAD_REQUEST, 0, "Transport unknown"),
            Self::UnknownSid => (S::BAD_REQUEST, 1, "Session ID unknown"),
            Self::BadMethod => (S::BAD_REQUEST, 2, "Bad handshake method"),
            Self::BadRequest => (S::BAD_REQUEST, 3, "Bad request"),
            Self::Forbidden => (S::FORBIDDEN, 4, "Forbidden"),
            Self::UnsupportedVersion => (S::BAD_REQUEST, 5, "Unsupported protocol version"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, 3, "Payload too large"),
            Self::HeadersTooLarge => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, 3, "Headers too large"),
            Self::NoRoom(NoRoom::Address) => {
                (S::TOO_MANY_REQUESTS, 4, "Too many connections from this address")
            }
            Self::NoRoom(NoRoom::Server) => (S::SERVICE_UNAVAILABLE, 4, "Too many connections"),
            Self::Draining => (S::SERVICE_UNAVAILABLE, 4, "Server is shutting down"),
            Self::Internal => (S::SERVICE_UNAVAILABLE, 3, "Unavailable"),
        };
        let body = format!("{{\"code\":{code},\"message\":\"{message}\"}}");
        let mut response = respond(status, "application/json", body.into());
        if matches!(status, S::SERVICE_UNAVAILABLE | S::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            // Who is turned away is not to keep a connection with its buffers meanwhile.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Refused> for ErrorCode {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::UnknownSid,
            Refused::Bad => Self::BadRequest,
        }
    }
}

/// Engine.IO packets as text. A cached poll would be replayed to the client as new.
pub(super) fn payload(body: Bytes) -> Response {
    respond(StatusCode::OK, "text/plain; charset=UTF-8", body)
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
