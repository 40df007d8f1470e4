//! What routes take from a request, valid or refused.

use crate::app::App;
use crate::http::body::{as_text, read_body, read_optional};
use crate::http::problem::{Code, Problem};
use crate::input::{Query, check_batch, check_json};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use std::sync::Arc;
use tidings_domain::{NotificationId, UserId};

/// The user named in the path.
pub struct InboxOf(pub UserId);

impl FromRequestParts<Arc<App>> for InboxOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::new(Code::InvalidRequest, "the user in the path cannot be read"))?;
        Ok(Self(UserId::new(&text)?))
    }
}

/// The notification named in the path. What is no id names none.
pub struct Id(pub NotificationId);

impl FromRequestParts<Arc<App>> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, app).await.ok();
        let id = path.and_then(|Path(text)| NotificationId::parse(&text));
        id.map(Self).ok_or_else(|| Problem::not_found("notification"))
    }
}

/// The parameters of the URL.
pub struct Parameters(pub Query);

impl FromRequestParts<Arc<App>> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        Ok(Self(Query::of(parts.uri.query())))
    }
}

/// A JSON body of at most `TIDINGS_MAX_BODY_BYTES`.
pub struct Json(pub String);

impl FromRequest<Arc<App>> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body, app.limits.body).await?;
        as_text(bytes, check_json).map(Self)
    }
}

/// The same on a route of the original, which took a byte order mark before the JSON.
pub struct OriginalJson(pub String);

impl FromRequest<Arc<App>> for OriginalJson {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let mut bytes = read_body(&parts.headers, body, app.limits.body).await?;
        if bytes.starts_with(MARK) {
            bytes.drain(..MARK.len());
        }
        as_text(bytes, check_json).map(Self)
    }
}

/// U+FEFF in UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// A JSON body that may be left out, which is `{}`.
pub struct OptionalJson(pub String);

impl FromRequest<Arc<App>> for OptionalJson {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_optional(&parts.headers, body, app.limits.body).await?;
        if bytes.is_empty() {
            return Ok(Self("{}".to_owned()));
        }
        as_text(bytes, check_json).map(Self)
    }
}

/// A batch as JSON, of at most `TIDINGS_MAX_BATCH_BYTES`. Its items are not checked yet.
pub struct BatchJson(pub String);

impl FromRequest<Arc<App>> for BatchJson {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body, app.limits.batch).await?;
        as_text(bytes, check_batch).map(Self)
    }
}
