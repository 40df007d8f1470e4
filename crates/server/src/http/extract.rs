//! What routes take from a request, valid or refused.

use crate::app::App;
use crate::http::body::read_json;
use crate::http::problem::{Code, Problem};
use crate::input::Query;
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
        read_json(&parts.headers, body, app.limits.body).await.map(Self)
    }
}

/// A JSON body of at most `TIDINGS_MAX_BATCH_BYTES`.
pub struct BatchJson(pub String);

impl FromRequest<Arc<App>> for BatchJson {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        read_json(&parts.headers, body, app.limits.batch).await.map(Self)
    }
}
