use crate::app::App;
use crate::http::extract::Id;
use crate::http::problem::Problem;
use axum::extract::State;
use http::StatusCode;
use std::sync::Arc;

/// `DELETE /v1/notifications/{id}`: gone from every device.
pub async fn recall(State(app): State<Arc<App>>, Id(id): Id) -> Result<StatusCode, Problem> {
    if app.store.recall(id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("notification"))
    }
}
