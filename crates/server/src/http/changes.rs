use crate::app::App;
use crate::http::extract::{InboxOf, Parameters};
use crate::http::problem::Problem;
use crate::realtime::check_reach;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::{Counts, Entry, Epoch, Relation, Revision};
use tidings_store::{ChangesQuery, Inside, Resync, StoreError};

/// About so many notifications are answered at once.
const PAGE: usize = 500;

#[derive(Serialize)]
pub struct Answer {
    data: Vec<Entry>,
    cursor: Revision,
    next: Option<String>,
    head: Revision,
    epoch: Epoch,
    #[serde(flatten)]
    counts: Counts,
    has_more: bool,
}

/// `GET /v1/users/{user_id}/inbox/changes`: everything above a cursor, in order of `rev`, page by page. A page that ends
/// within a large revision says with `next` how to go on in it.
pub async fn changes(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Parameters(mut query): Parameters,
) -> Result<Json<Answer>, Problem> {
    let since = query.number("since");
    if since.is_none() && !query.is_wrong("since") {
        query.wrong("since", "is required");
    }
    let since = since.unwrap_or_default();
    let epoch = query.text("epoch");
    let inside = query.text("next").and_then(|text| {
        let inside = parse_next(&text).filter(|inside| inside.rev > since);
        if inside.is_none() {
            query.wrong("next", "must be as the server gave it, with the cursor that it came with as since");
        }
        inside
    });
    query.finish()?;
    if epoch.is_some_and(|epoch| app.store.relation(&user, &epoch) != Relation::Present) {
        return Err(StoreError::ResyncRequired(Resync::OtherEpoch).into());
    }
    let located = app.store.locate(&user, None).await?;
    check_reach(&app, &user, since, &located).await?;
    let page = app.store.changes(&user, ChangesQuery { inside, ..ChangesQuery::new(since, PAGE) }).await?;
    Ok(Json(Answer {
        data: page.entries,
        cursor: page.cursor,
        next: page.next.map(|Inside { rev, seq }| format!("{rev}.{seq}")),
        head: page.head,
        epoch: app.store.inbox_epoch(&user),
        counts: page.counts,
        has_more: page.has_more,
    }))
}

fn parse_next(text: &str) -> Option<Inside> {
    let (rev, seq) = text.split_once('.')?;
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    Some(Inside { rev: number(rev)?, seq: number(seq)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_within_a_revision_is_read_as_it_was_written() {
        assert_eq!(parse_next("7.2"), Some(Inside { rev: 7, seq: 2 }));
        for text in ["", "7", "7.", ".2", "7.2.1", "+7.2", "7.-2", "x.y", "99999999999999999999.1"] {
            assert_eq!(parse_next(text), None, "{text}");
        }
    }
}
