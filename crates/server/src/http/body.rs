use crate::http::coding::{Coding, coding, inflate, too_large};
use crate::http::problem::{Code, Problem};
use crate::input::{Malformed, halves};
use axum::body::Body;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use std::time::Duration;

/// How long a request's body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of a body that is too large, so much is read and thrown away, so that a client that sends first and reads then gets the
/// answer instead of a broken connection.
const THROWN_AWAY: usize = 8 * 1024 * 1024;

/// Reads a JSON body of at most `limit` bytes, also after it was inflated.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    check_type(headers)?;
    let coding = coding(headers)?;
    let bytes = arrived(body, limit).await?;
    decoded(bytes, coding, limit)
}

/// The same, where the body may be left out; then it is empty, whatever the headers say of it.
pub async fn read_optional(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let bytes = arrived(body, limit).await?;
    if bytes.is_empty() {
        return Ok(bytes);
    }
    check_type(headers)?;
    decoded(bytes, coding(headers)?, limit)
}

/// The text of a body, with halves of surrogate pairs replaced, if it passes `check`.
pub fn as_text(mut bytes: Vec<u8>, check: fn(&[u8]) -> Result<(), Malformed>) -> Result<String, Problem> {
    halves::replace_in(&mut bytes);
    let text = String::from_utf8(bytes)
        .map_err(|_| Problem::new(Code::InvalidRequest, "the body cannot be read: it is not UTF-8"))?;
    check(text.as_bytes())?;
    Ok(text)
}

async fn arrived(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(PATIENCE, collect(body, limit)).await {
        Ok(collected) => collected,
        Err(_) => Err(Problem::new(Code::RequestTimeout, "the body took too long to arrive")),
    }
}

fn decoded(bytes: Vec<u8>, coding: Coding, limit: usize) -> Result<Vec<u8>, Problem> {
    match coding {
        Coding::Identity => Ok(bytes),
        Coding::Gzip => inflate(&bytes, limit),
    }
}

async fn collect(mut body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let mut thrown_away = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Code::InvalidRequest, "the body did not arrive whole"))?;
        let Ok(data) = frame.into_data() else { continue };
        if thrown_away > 0 || bytes.len() + data.len() > limit {
            thrown_away += bytes.len() + data.len();
            bytes = Vec::new();
        } else {
            bytes.extend_from_slice(&data);
        }
        if thrown_away > THROWN_AWAY {
            break;
        }
    }
    if thrown_away > 0 {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if !json {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "the body must be sent as Content-Type: application/json",
        ));
    }
    Ok(())
}
