use crate::app::App;
use crate::http::extract::{InboxOf, Parameters};
use crate::http::problem::Problem;
use crate::realtime::check_reach;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::{Counts, Entry, Epoch, Revision};
use tidings_store::{Resync, StoreError};

/// About so many notifications are answered at once.
const PAGE: usize = 500;

#[derive(Serialize)]
pub struct Answer {
    data: Vec<Entry>,
    cursor: Revision,
    head: Revision,
    epoch: Epoch,
    #[serde(flatten)]
    counts: Counts,
    has_more: bool,
}

/// `GET /v1/users/{user_id}/inbox/changes`: everything above a cursor, in order of `rev`.
pub async fn changes(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Parameters(mut query): Parameters,
) -> Result<Json<Answer>, Problem> {
    let since = query.number("since");
    let given_badly = query.is_wrong("since");
    if since.is_none() && !given_badly {
        query.wrong("since", "is required");
    }
    let epoch = query.text("epoch");
    query.finish()?;
    let since = since.unwrap_or_default();
    if epoch.is_some_and(|epoch| epoch != app.store.epoch().as_str()) {
        return Err(StoreError::ResyncRequired(Resync::OtherEpoch).into());
    }
    let located = app.store.locate(&user, None).await?;
    check_reach(&app, &user, since, &located).await?;
    let page = app.store.changes(&user, since, PAGE).await?;
    Ok(Json(Answer {
        data: page.entries,
        cursor: page.cursor,
        head: page.head,
        epoch: app.store.epoch().clone(),
        counts: page.counts,
        has_more: page.has_more,
    }))
}
