//! Ending all sessions of a user: what was signed before that moment opens nothing any more.

use crate::app::App;
use tidings_auth::Principal;
use tidings_domain::Timestamp;
use tidings_store::StoreError;

/// When the token was issued that opened a session; it may not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued(pub Option<Timestamp>);

impl Issued {
    /// `None`: it was opened without a token.
    pub fn of(principal: &Principal) -> Option<Self> {
        match principal {
            Principal::User(verified) => Some(Self(verified.issued_at)),
            _ => None,
        }
    }

    /// Whether it was issued before its user's sessions were ended. A token that does not say counts as older.
    pub fn is_ended(self, ended_at: Timestamp) -> bool {
        // Most issuers write `iat` in whole seconds, cut off: such a token of the very second is refused, ours are told apart.
        self.0.is_none_or(|issued| issued <= ended_at)
    }
}

/// Whether the principal's token was issued before its user's sessions were ended.
pub async fn check_revoked(app: &App, principal: &Principal) -> Result<bool, StoreError> {
    let (Principal::User(verified), Some(issued)) = (principal, Issued::of(principal)) else {
        return Ok(false);
    };
    let ended_at = app.store.revoked_at(&verified.user).await?;
    Ok(ended_at.is_some_and(|ended_at| issued.is_ended(ended_at)))
}
