use crate::app::App;
use crate::http::extract::{InboxOf, Parameters};
use crate::http::problem::Problem;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;
use tidings_domain::Counts;

/// `GET /v1/users/{user_id}/inbox/counts`: the numbers, of one category or of all.
pub async fn counts(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Parameters(mut query): Parameters,
) -> Result<Json<Counts>, Problem> {
    let category = query.text("category");
    query.finish()?;
    Ok(Json(app.store.counts(&user, category.as_deref()).await?))
}
