use crate::app::App;
use crate::http::extract::{InboxOf, Json};
use crate::http::problem::Problem;
use crate::input::read_mark;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::{Counts, Revision};

#[derive(Serialize)]
pub struct Answer {
    rev: Revision,
    changed: u64,
    #[serde(flatten)]
    counts: Counts,
}

/// `POST /v1/users/{user_id}/inbox/mark`: read, seen, archived, deleted, or back.
pub async fn mark(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Json(body): Json,
) -> Result<axum::Json<Answer>, Problem> {
    let marked = app.store.mark(&user, read_mark(&body)?).await?;
    Ok(axum::Json(Answer { rev: marked.rev, changed: marked.changed, counts: marked.counts }))
}
