use crate::http::problem::{Code, Problem};
use axum::body::Body;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use std::time::Duration;

/// How long a request's body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of a body that is too large, so much is read and thrown away, so that a client that sends first and reads then gets the
/// answer instead of a broken connection.
const THROWN_AWAY: usize = 8 * 1024 * 1024;

/// Reads a JSON body of at most `limit` bytes in which every key is unique.
pub async fn read_json(headers: &HeaderMap, body: Body, limit: usize) -> Result<String, Problem> {
    check_type(headers)?;
    let bytes = match tokio::time::timeout(PATIENCE, collect(body, limit)).await {
        Ok(collected) => collected?,
        Err(_) => return Err(Problem::new(Code::RequestTimeout, "the body took too long to arrive")),
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| Problem::new(Code::InvalidRequest, "the body cannot be read: it is not UTF-8"))?;
    crate::input::check_json(text.as_bytes())?;
    Ok(text)
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
        return Err(Problem::new(Code::PayloadTooLarge, format!("the body may have at most {limit} bytes")));
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
    let plain =
        headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding.as_bytes() == b"identity");
    if !plain {
        return Err(Problem::new(Code::UnsupportedMediaType, "an encoded (compressed) body is not read"));
    }
    Ok(())
}
