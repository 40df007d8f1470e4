use crate::app::App;
use crate::http::extract::{InboxOf, Parameters};
use crate::http::problem::Problem;
use crate::input::page_cursor;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use std::sync::Arc;
use tidings_store::InboxQuery;

/// `GET /api/notifications/:user_id`, as the original system has it: a bare array, newest first. The next page is in the
/// `Link` header.
pub async fn list_original(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Parameters(query): Parameters,
) -> Result<Response, Problem> {
    let mut query = query.without_empty();
    let limit = query.limit();
    let asked = InboxQuery { range: query.range(), limit, ..InboxQuery::default() };
    query.finish_ignoring()?;
    let page = app.store.inbox(&user, asked).await?;
    let next = page.notifications.last().filter(|_| page.has_more).map(|oldest| page_cursor(oldest.seq));
    let mut response = Json(&page.notifications).into_response();
    if let Some(next) = next {
        // Relative to this request: a proxy may have taken a prefix off its path.
        let link = format!("<?limit={limit}&before={next}>; rel=\"next\"");
        if let Ok(link) = link.parse() {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}
