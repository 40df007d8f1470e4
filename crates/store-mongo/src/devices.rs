use crate::documents::{self, DeviceDocument, INBOXES, date, number, time};
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::query::Query;
use crate::register::{DEVICES, devices_of};
use crate::schema::LOG;
use tidings_domain::UserId;
use tidings_store::Device;

/// The user's devices, last seen first.
pub(crate) async fn devices(mongo: &Mongo, user: &UserId) -> Result<Vec<Device>, Failure> {
    // Before the database is asked: they become devices there, and are forgotten here after.
    let visitors = mongo.visitors.of(user);
    let mut found: Vec<DeviceDocument> = Query::new(INBOXES, LOG, devices_of(user)).all(mongo).await?;
    for visitor in visitors {
        if found.iter().all(|device| device.device_id != visitor.device_id.as_str()) {
            found.push(DeviceDocument {
                device_id: visitor.device_id.as_str().to_owned(),
                cursor: 0,
                last_seen_at: date(visitor.last_seen_at),
                transport: visitor.transport,
                resume: None,
            });
        }
    }
    found.sort_unstable_by(|one, other| {
        (other.last_seen_at, &one.device_id).cmp(&(one.last_seen_at, &other.device_id))
    });
    let devices = found.into_iter().take(DEVICES).map(|device| {
        Ok(Device {
            device_id: documents::device(&device.device_id)?,
            cursor: number(device.cursor),
            last_seen_at: time(device.last_seen_at),
            transport: device.transport,
        })
    });
    devices.collect()
}
