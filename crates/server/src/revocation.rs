//! Ending all sessions of a user: what was signed before that moment opens nothing any more.

use crate::app::App;
use tidings_auth::Principal;
use tidings_store::StoreError;

/// Whether the principal's token was issued before its user's sessions were ended. A token that does not say when it was
/// issued counts as older.
pub async fn check_revoked(app: &App, principal: &Principal) -> Result<bool, StoreError> {
    let Principal::User(verified) = principal else { return Ok(false) };
    let Some(ended_at) = app.store.revoked_at(&verified.user).await? else { return Ok(false) };
    // Most issuers write `iat` in whole seconds, cut off: such a token of the very second is refused, ours are told apart.
    Ok(verified.issued_at.is_none_or(|issued| issued <= ended_at))
}
