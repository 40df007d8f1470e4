use crate::app::App;
use crate::http::problem::{Code, Problem};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tidings_store::StoreError;

/// `GET /api/health`, as the original system has it.
pub async fn original() -> Json<&'static str> {
    Json("OK")
}

#[derive(Serialize)]
pub struct Health {
    status: &'static str,
}

/// `GET /health/live`: the process answers.
pub async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// `GET /health/ready`: it can serve; 503 while its store cannot, while a background worker is down, and while it ends; 500 where
/// the store is damaged.
pub async fn ready(State(app): State<Arc<App>>) -> Result<Json<Health>, Problem> {
    if app.draining.is_cancelled() {
        return Err(Problem::new(Code::Unavailable, "the server is ending"));
    }
    if let Some(worker) = app.workers.down() {
        return Err(Problem::new(
            Code::Unavailable,
            format!("{worker} has failed and is being started again"),
        ));
    }
    match app.store.ready().await {
        // It was logged when it was found: not again with every probe.
        Err(StoreError::Damaged(_)) => return Err(Problem::damaged()),
        ready => ready?,
    }
    Ok(Json(Health { status: "ready" }))
}
