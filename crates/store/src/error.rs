use thiserror::Error;

/// Why a call of a store failed, by meaning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The store cannot do it now: disk full, overloaded, gone, closing. Trying again later is right.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be read as what was written, or what is to be stored cannot be written as what it is. Trying
    /// again does not help: somebody must restore the store from a backup. What lies elsewhere in the store is served.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// The cursor cannot be resumed.
    #[error("the cursor cannot be resumed: {0}")]
    ResyncRequired(Resync),
    /// An acknowledgement of a revision that does not exist yet.
    #[error("revision above the head, which is {head}")]
    AboveHead {
        /// The newest revision.
        head: u64,
    },
}

/// Why a cursor cannot be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Resync {
    /// It is of another life of the store.
    #[error("the store was replaced or restored since")]
    OtherEpoch,
    /// It is above the head.
    #[error("the cursor is above the newest revision")]
    AboveHead,
    /// Retention has removed what it would need.
    #[error("the cursor is older than what is kept")]
    BelowFloor,
    /// More lies above it than a resume serves.
    #[error("more has changed since than a resume serves")]
    TooFarBehind,
}

impl Resync {
    /// The stable word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherEpoch => "other_epoch",
            Self::AboveHead => "above_head",
            Self::BelowFloor => "below_floor",
            Self::TooFarBehind => "too_far_behind",
        }
    }
}
