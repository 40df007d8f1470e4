use crate::app::App;
use crate::http::extract::InboxOf;
use crate::http::problem::Problem;
use crate::revocation;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Answer {
    ended: usize,
}

/// `DELETE /v1/users/{user_id}/sessions`: ends all of the user's sockets and streams now, and refuses every token that was
/// issued before. Answers how many were ended, on this node and those that answered. A store that cannot take it (a full
/// disk) is a 503 only after what is live has ended: it is to be asked again, so that older tokens are refused.
pub async fn end_sessions(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
) -> Result<Json<Answer>, Problem> {
    let (ended, stored) = revocation::end_sessions(&app, &user).await;
    stored?;
    Ok(Json(Answer { ended }))
}
