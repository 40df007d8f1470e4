use tidings_domain::{Timestamp, UserId};

/// Who was found to be speaking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Open mode: nothing is configured, so nobody is asked.
    Anybody,
    /// Holds an API key: may do everything.
    ApiKey,
    /// Holds a token: may use that one user's inbox, nothing else.
    User(Verified),
}

impl Principal {
    /// Whether this principal may read, change and attach to the inbox of `user`.
    pub fn may_use(&self, user: &UserId) -> bool {
        match self {
            Self::Anybody | Self::ApiKey => true,
            Self::User(verified) => verified.user == *user,
        }
    }

    /// Whether this principal may send notifications, mint tokens and see what concerns more than one user.
    pub fn may_send(&self) -> bool {
        match self {
            Self::Anybody | Self::ApiKey => true,
            Self::User(_) => false,
        }
    }

    /// The moment when this principal stops being one; `None` for those without an end.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::Anybody | Self::ApiKey => None,
            Self::User(verified) => Some(verified.expires_at),
        }
    }
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whose inbox it opens: `sub`.
    pub user: UserId,
    /// From this moment on it is worth nothing: `exp`.
    pub expires_at: Timestamp,
    /// When it was issued, where it says so: `iat`.
    pub issued_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_may_use_one_inbox_and_send_nothing() {
        let [ana, bo] = ["ana", "bo"].map(|user| UserId::new(user).unwrap());
        let expires_at = Timestamp::from_millis(1);
        let user = Principal::User(Verified { user: ana.clone(), expires_at, issued_at: None });
        assert!(user.may_use(&ana) && !user.may_use(&bo) && !user.may_send());
        assert_eq!(user.expires_at(), Some(expires_at));
        for all in [Principal::Anybody, Principal::ApiKey] {
            assert!(all.may_use(&ana) && all.may_use(&bo) && all.may_send());
            assert_eq!(all.expires_at(), None);
        }
    }
}
