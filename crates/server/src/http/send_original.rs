use crate::app::App;
use crate::http::extract::Json;
use crate::http::idempotency::{Answered, IdempotencyKey, replayed};
use crate::http::problem::{Code, Problem};
use crate::http::send::outgoing;
use crate::input::read_original;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::{NotificationId, Revision, Status};

#[derive(Serialize)]
struct Answer {
    success: bool,
    message: &'static str,
    id: NotificationId,
    seq: Revision,
    status: &'static str,
}

/// `POST /api/notifications/send`, as the original system has it.
pub async fn send_original(
    State(app): State<Arc<App>>,
    key: IdempotencyKey,
    Json(body): Json,
) -> Result<Response, Problem> {
    let draft = read_original(&body, app.clock.now())?;
    let idempotency = key.of("original", &body, Vec::new());
    let answered: Answered = app.store.append(outgoing(draft).collect(), idempotency).await?.into();
    let receipt = answered.receipts.into_iter().next();
    let receipt = receipt.ok_or_else(|| Problem::new(Code::Unavailable, "the store gave no receipt"))?;
    let answer = Answer {
        success: true,
        message: "Notification sent and stored.",
        id: receipt.id,
        seq: receipt.seq,
        status: Status::Pending.as_str(),
    };
    Ok(replayed(answered.note.is_some(), axum::Json(answer)))
}
