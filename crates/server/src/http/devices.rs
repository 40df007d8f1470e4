use crate::app::App;
use crate::http::extract::{InboxOf, Parameters};
use crate::http::problem::Problem;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tidings_bus::Online;
use tidings_domain::{DeviceId, Revision, Timestamp};
use tidings_store::Device;

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
    let (now, known) = (app.clock.now(), devices.len());
    let mut data: Vec<Told> = devices
        .into_iter()
        .map(|Device { device_id, cursor, last_seen_at, transport }| Told {
            online: false,
            device_id,
            cursor,
            last_seen_at,
            transport,
        })
        .collect();
    for Online { device, transport } in online {
        let transport = transport.to_owned();
        match data.iter_mut().find(|told| told.device_id == device) {
            Some(told) => (told.online, told.transport) = (true, transport),
            // At another node, of an inbox that has nothing yet: of that nothing is stored, and nothing can be confirmed.
            None => {
                data.push(Told { device_id: device, cursor: 0, online: true, last_seen_at: now, transport })
            }
        }
    }
    // Last seen first, as the store has them.
    data.rotate_left(known);
    Ok(Json(Answer { data }))
}
