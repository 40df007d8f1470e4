use crate::app::App;
use crate::http::extract::Id;
use crate::http::problem::Problem;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::{Notification, Timestamp};

/// A notification with what has happened to it, oldest first.
#[derive(Serialize)]
pub struct Told {
    #[serde(flatten)]
    notification: Notification,
    timeline: Vec<Moment>,
}

#[derive(Serialize)]
struct Moment {
    event: &'static str,
    at: Timestamp,
}

/// `GET /v1/notifications/{id}`.
pub async fn get(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Told>, Problem> {
    let notification = app.store.notification(id).await?.ok_or_else(|| Problem::not_found("notification"))?;
    let state = &notification.state;
    let moments = [
        ("created", Some(notification.timestamp)),
        ("delivered", state.delivered_at),
        ("seen", state.seen_at),
        ("read", state.read_at),
        ("edited", notification.edited_at),
        ("archived", state.archived_at),
    ];
    let mut timeline: Vec<Moment> =
        moments.into_iter().filter_map(|(event, at)| at.map(|at| Moment { event, at })).collect();
    timeline.sort_by_key(|moment| moment.at);
    Ok(Json(Told { notification, timeline }))
}
