use crate::acknowledge::standing;
use crate::counts;
use crate::documents::number;
use crate::failure::Failure;
use crate::mongo::Mongo;
use tidings_domain::{DeviceId, UserId};
use tidings_store::Located;

/// Where the inbox stands, and what is known of one device.
///
/// How far devices have come is read first: what they confirmed then is not above the head that is read after it.
pub(crate) async fn locate(
    mongo: &Mongo,
    user: &UserId,
    device: Option<&DeviceId>,
) -> Result<Located, Failure> {
    let (progress, device) = standing(mongo, user, device).await?;
    let head = mongo.head(user).await?;
    let counts = counts::at(mongo, user, &head, mongo.now()).await?;
    let (floor, confirmed) = (number(progress.floor), number(progress.confirmed));
    Ok(Located { head: head.rev, floor, counts, confirmed, device })
}
