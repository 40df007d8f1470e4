use crate::app::App;
use crate::http::extract::{InboxOf, OptionalJson};
use crate::http::problem::{Code, Problem};
use crate::input::read_ttl;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::Timestamp;

#[derive(Serialize)]
pub struct Answer {
    token: String,
    expires_at: Timestamp,
}

/// `POST /v1/users/{user_id}/tokens`: a user token signed by this server.
pub async fn mint(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    OptionalJson(body): OptionalJson,
) -> Result<(StatusCode, axum::Json<Answer>), Problem> {
    let ttl = read_ttl(&body)?;
    let (token, expires_at) =
        app.auth.mint(&user, ttl).map_err(|error| Problem::new(Code::Conflict, error.to_string()))?;
    Ok((StatusCode::CREATED, axum::Json(Answer { token, expires_at })))
}
