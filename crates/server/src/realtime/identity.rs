//! Whose inbox a socket may have: the token decides, or in open mode what the client says.

use crate::app::App;
use crate::input::Attach;
use crate::realtime::commands::Failure;
use crate::revocation::check_revoked;
use tidings_auth::{Principal, Refusal};
use tidings_domain::UserId;

/// Who a socket's client proved to be, and whose inbox it asks for.
pub struct Identity {
    /// Who; `None`: nobody yet.
    pub principal: Option<Principal>,
    /// Whose inbox; `None`: it has not said.
    pub user: Option<UserId>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.to_string())
    }
}

/// Finds it. `before` is what the socket proved already; `restored` is the user whom its `pid` last registered.
///
/// With keys configured the user comes from the token alone, and an API key may name any. A `pid` proves nothing then.
pub async fn identify(
    app: &App,
    attach: &Attach,
    before: Option<&Principal>,
    restored: Option<&UserId>,
) -> Result<Identity, Failure> {
    if app.auth.is_open() {
        if attach.token.is_some() && attach.user_id.is_none() && restored.is_none() {
            return Err(Failure::new(
                "unauthorized",
                "this server has no key to check a token with; say user_id",
            ));
        }
        let user = attach.user_id.clone().or_else(|| restored.cloned());
        return Ok(Identity { principal: Some(Principal::Anybody), user });
    }
    let principal = match (&attach.token, before) {
        (Some(token), _) => app.auth.check_bearer(token).await?,
        (None, Some(before)) => before.clone(),
        // It may connect, and register with a token afterwards.
        (None, None) if attach.user_id.is_none() => return Ok(Identity { principal: None, user: None }),
        (None, None) => return Err(Refusal::Missing.into()),
    };
    let user = match (&principal, &attach.user_id) {
        (Principal::User(verified), None) => Some(verified.user.clone()),
        (_, named) => named.clone(),
    };
    if user.as_ref().is_some_and(|user| !principal.may_use(user)) {
        return Err(Failure::new("forbidden", "this token opens another user's inbox only"));
    }
    if check_revoked(app, &principal).await? {
        return Err(Failure::new(
            "unauthorized",
            "the sessions of this user were ended; a new token is needed",
        ));
    }
    Ok(Identity { principal: Some(principal), user })
}
