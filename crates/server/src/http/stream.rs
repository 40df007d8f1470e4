use crate::app::App;
use crate::http::extract::{InboxOf, Parameters};
use crate::http::problem::{Code, Problem};
use crate::input::GivenCursor;
use crate::realtime::{AttachError, Given, Lease, attach, event_stream};
use crate::revocation::{Issued, check_revoked};
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, header};
use std::sync::Arc;
use tidings_auth::Principal;
use tidings_domain::{Cursor, DeviceId, Invalid};
use tokio::time::Instant;
use uuid::Uuid;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /v1/users/{user_id}/stream`: the inbox as Server-Sent Events.
pub async fn stream(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Parameters(mut query): Parameters,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let named = query.text("device_id").map(|text| DeviceId::new(&text)).transpose()?;
    let epoch = query.text("epoch");
    let cursor = query.number("cursor").map(|rev| GivenCursor { epoch, rev });
    query.finish()?;
    let last = last_event_id(&headers)?;
    if app.draining.is_cancelled() {
        return Err(Problem::new(Code::Unavailable, "the server is ending; try again"));
    }

    let device = match named.clone() {
        Some(device) => device,
        None => DeviceId::new(&Uuid::new_v4().simple().to_string())?,
    };
    // What the browser kept by itself is newer than what stands in the URL.
    let given = last
        .as_ref()
        .map(|last| GivenCursor { epoch: Some(last.epoch.to_string()), rev: last.rev })
        .or(cursor);
    let given =
        Given { user: user.clone(), device: device.clone(), pid: None, cursor: given, transport: "sse" };
    let attached = attach(&app, given).await.map_err(|error| match error {
        AttachError::Revoked => Problem::new(Code::Unauthorized, error.to_string()),
        AttachError::Crowded => Problem::new(Code::RateLimited, error.to_string()),
        AttachError::Store(error) => error.into(),
    })?;
    let seat = attached.pump.seat();
    seat.feed.set_issued(seat.key, Issued::of(&principal));
    // Asked again after it has joined the hub: whoever ends the sessions now finds it there.
    if check_revoked(&app, &principal).await? {
        return Err(Problem::new(Code::Unauthorized, AttachError::Revoked.to_string()));
    }
    let until = match &principal {
        Principal::User(verified) => Some(Lease::new(verified, app.clock.now(), Instant::now()).end()),
        _ => None,
    };
    // Who resumes from an event says that everything up to it has arrived.
    if let Some(last) = last
        && attached.resync.is_none()
        && let Err(error) = app.store.acknowledge(&user, Some(&device), 0, last.rev).await
    {
        tracing::warn!(user.id = %user, %error, "a resume could not be stored as a confirmation");
    }
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Asks nginx not to gather the stream.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(event_stream(app, attached, until))).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    match value.to_str().unwrap_or("?") {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|error: tidings_domain::CursorError| {
            Invalid::one("Last-Event-ID", error.to_string()).into()
        }),
    }
}
