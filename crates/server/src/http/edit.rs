use crate::app::App;
use crate::http::extract::{Id, Json};
use crate::http::problem::Problem;
use crate::input::read_edit;
use axum::extract::State;
use std::sync::Arc;
use tidings_domain::Notification;

/// `PATCH /v1/notifications/{id}`: in place, on every device.
pub async fn edit(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Json(body): Json,
) -> Result<axum::Json<Notification>, Problem> {
    let edit = read_edit(&body, app.clock.now())?;
    let edited = app.store.edit(id, edit).await?;
    edited.map(axum::Json).ok_or_else(|| Problem::not_found("notification"))
}
