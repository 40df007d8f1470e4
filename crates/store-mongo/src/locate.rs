use crate::acknowledge::standing;
use crate::counts;
use crate::documents::number;
use crate::failure::Failure;
use crate::mongo::Mongo;
use futures_util::{StreamExt, TryStreamExt, stream};
use tidings_domain::{DeviceId, Revision, UserId};
use tidings_store::Located;

/// Where the inbox stands, and what is known of one device.
///
/// How far devices have come is read first: what they confirmed then is not above the head that is read after it.
pub(crate) async fn locate(
    mongo: &Mongo,
    user: &UserId,
    device: Option<&DeviceId>,
) -> Result<Located, Failure> {
    // Before the database is asked: they become devices there, and are forgotten here after.
    let visits = device.is_some_and(|device| mongo.visitors.has(user, device));
    let (progress, known) = standing(mongo, user, device).await?;
    let head = mongo.head(user).await?;
    let counts = counts::at(mongo, user, &head, mongo.now()).await?;
    let (floor, confirmed) = (number(progress.floor), number(progress.confirmed));
    let (device, resume) = match known {
        Some(known) => (Some(known.cursor), known.resume),
        None => (visits.then_some(0), None),
    };
    Ok(Located { head: head.rev, floor, counts, confirmed, device, resume })
}

/// How many inboxes are looked up at once.
const LOOKUPS: usize = 8;

/// The heads of many inboxes.
pub(crate) async fn heads(mongo: &Mongo, users: &[UserId]) -> Result<Vec<Revision>, Failure> {
    let reads: Vec<_> = users.iter().map(|user| mongo.head(user)).collect();
    let heads: Vec<_> = stream::iter(reads).buffered(LOOKUPS).try_collect().await?;
    Ok(heads.into_iter().map(|head| head.rev).collect())
}
