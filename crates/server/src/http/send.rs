use crate::app::App;
use crate::http::extract::Json;
use crate::http::idempotency::{IdempotencyKey, Judged, answered, replayed};
use crate::http::problem::Problem;
use crate::input::{Draft, Refused, Undated, read_send};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::{NotificationId, Revision, Status, Timestamp, UserId};
use tidings_store::{Outgoing, Receipt};
use uuid::Uuid;

/// One stored notification, as its sender is told.
#[derive(Debug, Serialize)]
pub struct Sent {
    user_id: UserId,
    id: NotificationId,
    seq: Revision,
    status: &'static str,
}

impl From<Receipt> for Sent {
    fn from(Receipt { user_id, id, seq }: Receipt) -> Self {
        Self { user_id, id, seq, status: Status::Pending.as_str() }
    }
}

#[derive(Serialize)]
struct Answer {
    notifications: Vec<Sent>,
}

/// One notification for each recipient.
pub fn outgoing(draft: Draft) -> impl Iterator<Item = Outgoing> {
    let Draft { to, content, expires_at, collapse_key } = draft;
    to.0.into_iter().map(move |user_id| Outgoing {
        user_id,
        id: NotificationId::new(Uuid::now_v7()),
        content: content.clone(),
        expires_at,
        collapse_key: collapse_key.clone(),
    })
}

/// What one request asks for, sent at `now`.
pub fn judged(request: Result<Undated, Refused>, now: Timestamp) -> Result<Judged, Problem> {
    Ok(Judged { outgoing: outgoing(request?.at(now)?).collect(), note: Vec::new() })
}

/// `POST /v1/notifications`: to one or many named users, all stored or none.
pub async fn send(
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    Json(body): Json,
) -> Result<Response, Problem> {
    let answered = answered(&app, key, "send", &body, |now| judged(read_send(&body), now)).await?;
    let notifications = answered.receipts.into_iter().map(Sent::from).collect();
    Ok(replayed(answered.note.is_some(), (StatusCode::CREATED, axum::Json(Answer { notifications }))))
}
