use crate::app::App;
use crate::http::extract::InboxOf;
use crate::http::problem::Problem;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Answer {
    ended: usize,
}

/// `DELETE /v1/users/{user_id}/sessions`: ends all of the user's sockets and streams now, and refuses every token that was
/// issued before. Answers how many were ended, on this node and those that answered.
pub async fn end_sessions(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
) -> Result<Json<Answer>, Problem> {
    // Written first: who attaches from here on is refused, who attached before is in the hub.
    app.store.revoke(&user, app.clock.now()).await?;
    Ok(Json(Answer { ended: app.hub.end(&user).await }))
}
