use crate::app::App;
use crate::http::extract::{InboxOf, Parameters};
use crate::http::problem::{Code, Problem};
use crate::input::GivenCursor;
use crate::realtime::{AttachError, Given, Lease, attach, event_stream};
use crate::revocation::{Issued, check_revoked};
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, Method, header};
use std::sync::Arc;
use tidings_auth::Principal;
use tidings_domain::{Cursor, DeviceId, Relation};
use tokio::time::Instant;
use uuid::Uuid;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /v1/users/{user_id}/stream`: the inbox as Server-Sent Events.
pub async fn stream(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Parameters(mut query): Parameters,
    Extension(principal): Extension<Principal>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let named = query.text("device_id").map(|text| DeviceId::new(&text)).transpose()?;
    let epoch = query.text("epoch");
    let cursor = query.number("cursor").map(|rev| GivenCursor { epoch, rev, unserved: None });
    let last = LastEventId::of(&headers, query.text("lastEventId"));
    query.finish()?;
    // HEAD asks what GET would answer: it makes no device and confirms nothing.
    if method == Method::HEAD {
        return Ok(HEADERS.into_response());
    }
    if app.draining.is_cancelled() {
        return Err(Problem::new(Code::Unavailable, "the server is ending; try again"));
    }

    let device = match named.clone() {
        Some(device) => device,
        None => DeviceId::new(&Uuid::new_v4().simple().to_string())?,
    };
    // What the browser kept by itself is newer than what stands in the URL.
    let given = match &last {
        Some(LastEventId::Cursor(last)) => Some(last.clone().into()),
        // No epoch is empty, so this one cannot be resumed, and the reader is told so.
        Some(LastEventId::Unreadable) => {
            Some(GivenCursor { epoch: Some(String::new()), rev: 0, unserved: None })
        }
        None => cursor,
    };
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
    if let Some(LastEventId::Cursor(last)) = last
        && attached.resync.is_none()
        && app.store.relation(&user, last.epoch.as_str()) == Relation::Present
        && let Err(error) = app.store.acknowledge(&user, Some(&device), 0, last.rev).await
    {
        tracing::warn!(user.id = %user, %error, "a resume could not be stored as a confirmation");
    }
    Ok((HEADERS, Body::from_stream(event_stream(app, attached, until))).into_response())
}

const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store"),
    // Asks nginx not to gather the stream.
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// The id of the last event that an `EventSource` had.
#[derive(Debug, PartialEq)]
enum LastEventId {
    Cursor(Cursor),
    /// Not refused: a browser's `EventSource` never tries again after a 400, and cannot forget the id either.
    Unreadable,
}

impl LastEventId {
    /// From the header, or else from the URL, where polyfills put it because they cannot set the header.
    fn of(headers: &HeaderMap, parameter: Option<String>) -> Option<Self> {
        let header = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?").to_owned());
        let text = header.filter(|text| !text.is_empty()).or(parameter).filter(|text| !text.is_empty())?;
        Some(text.parse().map_or(Self::Unreadable, Self::Cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(header: Option<&'static str>, parameter: Option<&str>) -> Option<LastEventId> {
        let header = header.map(|text| (LAST_EVENT_ID, http::HeaderValue::from_static(text)));
        LastEventId::of(&header.into_iter().collect(), parameter.map(str::to_owned))
    }

    #[test]
    fn the_last_event_id_is_read_from_the_header_or_the_url() {
        let cursor = |text: &str| text.parse().ok().map(LastEventId::Cursor);
        assert_eq!(last(None, None), None);
        assert_eq!(last(Some(""), Some("")), None);
        assert_eq!(last(Some("e:7"), None), cursor("e:7"));
        assert_eq!(last(None, Some("e:7")), cursor("e:7"));
        assert_eq!(last(Some(""), Some("e:7")), cursor("e:7"));
        assert_eq!(last(Some("e:8"), Some("e:7")), cursor("e:8"));
    }

    #[test]
    fn a_last_event_id_of_another_server_is_no_error() {
        for text in ["42", "nonsense", "e:", ":"] {
            assert_eq!(last(Some(text), None), Some(LastEventId::Unreadable), "{text}");
            assert_eq!(last(None, Some(text)), Some(LastEventId::Unreadable), "{text}");
        }
    }
}
