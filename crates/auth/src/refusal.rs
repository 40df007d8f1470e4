use std::fmt;

/// Why nobody was recognised. Carries nothing of what was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No credential at all.
    Missing,
    /// No API key, and not even in the shape of a token.
    WrongApiKey,
    /// Longer than [`MAX_CREDENTIAL_BYTES`](crate::MAX_CREDENTIAL_BYTES).
    TooLong,
    /// Not a signed JSON Web Token with the claims in their proper types.
    Malformed,
    /// A JSON Web Token for something else, by its `typ`.
    WrongType,
    /// Its header demands (`crit`) something that is not understood here.
    UnknownExtension,
    /// No configured key has the token's algorithm.
    WrongAlgorithm,
    /// The key that the token names is not served.
    UnknownKey,
    /// The signature is not that of a configured key.
    BadSignature,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies ahead.
    NotYetValid,
    /// `aud` does not contain the configured audience.
    WrongAudience,
    /// `iss` is not the configured issuer.
    WrongIssuer,
    /// There is no `exp`.
    NoExpiry,
    /// `sub` is missing or cannot be a user's id.
    BadSubject,
    /// It cannot be decided now: the key set could not be fetched. Worth another try, unlike all the others.
    Unavailable,
}

impl Refusal {
    /// All of them, for documents and tests.
    pub const ALL: [Self; 16] = [
        Self::Missing,
        Self::WrongApiKey,
        Self::TooLong,
        Self::Malformed,
        Self::WrongType,
        Self::UnknownExtension,
        Self::WrongAlgorithm,
        Self::UnknownKey,
        Self::BadSignature,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongAudience,
        Self::WrongIssuer,
        Self::NoExpiry,
        Self::BadSubject,
        Self::Unavailable,
    ];

    /// The contract's word for programs: `unauthorized`, or `unavailable` for what may succeed when tried again.
    pub const fn code(self) -> &'static str {
        if self.is_retryable() { "unavailable" } else { "unauthorized" }
    }

    /// Whether the same credential may be accepted later.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable)
    }

    /// A word for metrics and logs, and a sentence for people.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Missing => ("missing", "A credential is required: an API key or a user token."),
            Self::WrongApiKey => {
                ("wrong_api_key", "The credential is neither a valid API key nor a user token.")
            }
            Self::TooLong => ("too_long", "The credential is longer than 8 KiB."),
            Self::Malformed => ("malformed", "The token is not a well-formed signed JSON Web Token."),
            Self::WrongType => ("wrong_type", "The token's typ says that it is meant for something else."),
            Self::UnknownExtension => {
                ("unknown_extension", "The token's header has a crit that is not understood.")
            }
            Self::WrongAlgorithm => {
                ("wrong_algorithm", "The token's algorithm is not that of a configured key.")
            }
            Self::UnknownKey => ("unknown_key", "The token was signed by a key that is not known here."),
            Self::BadSignature => ("bad_signature", "The token's signature is not valid."),
            Self::Expired => ("expired", "The token has expired."),
            Self::NotYetValid => {
                ("not_yet_valid", "The token is not valid yet: its nbf or iat lies in the future.")
            }
            Self::WrongAudience => ("wrong_audience", "The token was issued for another audience."),
            Self::WrongIssuer => ("wrong_issuer", "The token comes from another issuer."),
            Self::NoExpiry => ("no_expiry", "The token has no exp; one that never ends is not accepted."),
            Self::BadSubject => (
                "bad_subject",
                "The token's sub must be a user id: 1 to 128 bytes without control characters.",
            ),
            Self::Unavailable => {
                ("unavailable", "The keys to verify the token with cannot be fetched at the moment.")
            }
        }
    }

    /// A stable word for metrics and logs.
    pub const fn reason(self) -> &'static str {
        self.words().0
    }

    /// A sentence for people. A constant, so that it cannot contain anything of the credential.
    pub const fn detail(self) -> &'static str {
        self.words().1
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_refusal_has_its_own_word_and_sentence() {
        let words: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.reason()).collect();
        let details: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.to_string()).collect();
        assert_eq!((words.len(), details.len()), (Refusal::ALL.len(), Refusal::ALL.len()));
    }

    #[test]
    fn only_an_outage_is_worth_another_try() {
        for refusal in Refusal::ALL {
            let expected = if refusal == Refusal::Unavailable { "unavailable" } else { "unauthorized" };
            assert_eq!(refusal.code(), expected);
        }
    }
}
