use crate::app::App;
use crate::http::extract::{InboxOf, Parameters};
use crate::http::problem::Problem;
use crate::input::page_cursor;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::{Counts, Epoch, Notification, Revision};
use tidings_store::Range;

#[derive(Serialize)]
pub struct Answer {
    data: Vec<Notification>,
    meta: Meta,
    page: Page,
}

#[derive(Serialize)]
struct Meta {
    #[serde(flatten)]
    counts: Counts,
    head: Revision,
    floor: Revision,
    epoch: Epoch,
}

#[derive(Serialize)]
struct Page {
    before: Option<String>,
    after: Option<String>,
    has_more: bool,
}

/// `GET /v1/users/{user_id}/inbox`: a page, newest first.
pub async fn inbox(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Parameters(mut query): Parameters,
) -> Result<Json<Answer>, Problem> {
    let asked = query.inbox();
    query.finish()?;
    let range = asked.range;
    let page = app.store.inbox(&user, asked).await?;
    // An empty page leaves its reader where it was: what comes later is after what was asked.
    let (before, after) = match range {
        Range::Newest => (None, Some(0)),
        Range::Before(seq) => (None, Some(seq.saturating_sub(1))),
        Range::After(seq) => (None, Some(seq)),
    };
    let before = page.notifications.last().map(|oldest| oldest.seq).or(before);
    let after = page.notifications.first().map(|newest| newest.seq).or(after);
    let page_of =
        Page { before: before.map(page_cursor), after: after.map(page_cursor), has_more: page.has_more };
    let meta =
        Meta { counts: page.counts, head: page.head, floor: page.floor, epoch: app.store.inbox_epoch(&user) };
    Ok(Json(Answer { data: page.notifications, meta, page: page_of }))
}
