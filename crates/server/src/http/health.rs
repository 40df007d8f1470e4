use crate::app::App;
use crate::http::problem::{Code, Problem};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

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

/// `GET /health/ready`: it can serve; 503 while its store cannot, while a background worker is down, and while it ends.
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
    app.store.ready().await?;
    Ok(Json(Health { status: "ready" }))
}
