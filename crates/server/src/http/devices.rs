use crate::app::App;
use crate::http::extract::{InboxOf, Parameters};
use crate::http::problem::Problem;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tidings_domain::{DeviceId, Revision, Timestamp};

#[derive(Serialize)]
pub struct Answer {
    data: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    device_id: DeviceId,
    cursor: Revision,
    online: bool,
    last_seen_at: Timestamp,
    transport: String,
}

/// `GET /v1/users/{user_id}/devices`: who has come, how far each got, and who is there now.
pub async fn devices(
    State(app): State<Arc<App>>,
    InboxOf(user): InboxOf,
    Parameters(query): Parameters,
) -> Result<Json<Answer>, Problem> {
    query.finish()?;
    let devices = app.store.devices(&user).await?;
    let online = app.hub.online(&user).await;
    let devices = devices.into_iter().map(|device| {
        let now =
            online.iter().find(|online| online.device == device.device_id).map(|online| online.transport);
        Told {
            online: now.is_some(),
            transport: now.map_or(device.transport, str::to_owned),
            device_id: device.device_id,
            cursor: device.cursor,
            last_seen_at: device.last_seen_at,
        }
    });
    Ok(Json(Answer { data: devices.collect() }))
}
