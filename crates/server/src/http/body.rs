use crate::http::problem::{Code, Problem};
use axum::body::Body;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;

/// How long a request's body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a JSON body of at most `limit` bytes in which every key is unique.
pub async fn read_json(headers: &HeaderMap, body: Body, limit: usize) -> Result<String, Problem> {
    check_type(headers)?;
    let too_large =
        || Problem::new(Code::PayloadTooLarge, format!("the body may have at most {limit} bytes"));
    // Told before it is sent, where the client says how long it is.
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large());
    }
    let bytes = match tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(Problem::new(Code::InvalidRequest, "the body did not arrive whole")),
        Err(_) => return Err(Problem::new(Code::RequestTimeout, "the body took too long to arrive")),
    };
    let text = String::from_utf8(bytes.into())
        .map_err(|_| Problem::new(Code::InvalidRequest, "the body cannot be read: it is not UTF-8"))?;
    crate::input::check_json(text.as_bytes())?;
    Ok(text)
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
