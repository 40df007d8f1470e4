use crate::app::App;
use crate::http::extract::OriginalJson;
use crate::http::idempotency::{IdempotencyKey, answered, replayed};
use crate::http::problem::{Code, Problem};
use crate::http::send::judged;
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
    OriginalJson(body): OriginalJson,
) -> Result<Response, Problem> {
    let answered = answered(&app, key, "original", &body, |now| judged(read_original(&body), now)).await?;
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
