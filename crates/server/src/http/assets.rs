//! The page, and the official client's files; both are part of the binary.

use crate::http::problem::Problem;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, header};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Scripts and styles from here only; nothing inline.
const POLICY: &str = "default-src 'self'; img-src 'self' https: http: data:; connect-src 'self' ws: wss:; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

fn answer(name: &str, bytes: &'static [u8]) -> Response {
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("map" | "json") => "application/json",
        _ => "application/octet-stream",
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("content-security-policy"), POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, bytes).into_response()
}

fn find(files: &[(&str, &'static [u8])], name: &str) -> Option<&'static [u8]> {
    files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| *bytes)
}

/// `GET /`: the page.
pub async fn page() -> Response {
    console(Path("index.html".to_owned())).await
}

/// `GET /console/{file}`: what the page needs.
pub async fn console(Path(name): Path<String>) -> Response {
    match find(CONSOLE, &name) {
        Some(bytes) => answer(&name, bytes),
        None => Problem::not_found("file").into_response(),
    }
}

/// `GET /socket.io/{file}`: the official client.
pub async fn client(Path(name): Path<String>) -> Response {
    match find(CLIENT, &name) {
        Some(bytes) => answer(&name, bytes),
        None => Problem::not_found("file").into_response(),
    }
}
