use crate::app::App;
use crate::http::extract::{InboxOf, Json};
use crate::http::problem::Problem;
use crate::input::read_ack;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::Revision;

#[derive(Serialize)]
pub struct Answer {
    rev: Revision,
}

/// `POST /v1/users/{user_id}/inbox/ack`: a device that reads over HTTP or SSE has everything up to here.
pub async fn ack(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Json(body): Json,
) -> Result<axum::Json<Answer>, Problem> {
    let (up_to, device) = read_ack(&body)?;
    let rev = app.store.acknowledge(&user, device.as_ref(), 0, up_to).await?;
    Ok(axum::Json(Answer { rev }))
}
