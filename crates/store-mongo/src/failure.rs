use mongodb::error::{Error, ErrorKind, RETRYABLE_WRITE_ERROR, TRANSIENT_TRANSACTION_ERROR, WriteFailure};
use tidings_store::StoreError;

/// Why a piece of work did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Somebody else took the revision: look again.
    Conflict,
    /// It may go better in a moment: an election, a lost connection, a time limit. Whether it was written is not known.
    Passing(String),
    /// It will not go better by itself.
    Lasting(String),
    /// The database holds what this store never wrote.
    Damaged(String),
    /// An answer, not a failure of the store.
    Refused(StoreError),
}

/// A key of a unique index is taken.
const DUPLICATE_KEY: i32 = 11_000;
/// Another transaction changed the same document.
const WRITE_CONFLICT: i32 = 112;

/// What a server says while its role changes, it starts or it ends, and when it took too long: MongoDB's list of
/// retryable codes, with the codes of time limits.
const PASSING: [i32; 17] =
    [6, 7, 50, 64, 89, 91, 134, 189, 202, 262, 9001, 10_058, 10_107, 11_600, 11_602, 13_435, 13_436];

impl Failure {
    /// What a command's answer says of it, if something went wrong in its statements.
    pub(crate) fn of_code(code: i32, text: String) -> Self {
        match code {
            DUPLICATE_KEY | WRITE_CONFLICT => Self::Conflict,
            code if PASSING.contains(&code) => Self::Passing(text),
            _ => Self::Lasting(text),
        }
    }

    /// Whether it says something of this one inbox alone, and nothing of the others that are asked for with it.
    pub(crate) fn is_of_one_inbox(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Refused(_))
    }

    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Conflict => {
                StoreError::Unavailable("others write to the same inbox all the time".to_owned())
            }
            Self::Passing(text) | Self::Lasting(text) => StoreError::Unavailable(text),
            Self::Damaged(text) => StoreError::Damaged(text),
            Self::Refused(error) => error,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = describe(&error);
        match error.kind.as_ref() {
            ErrorKind::Command(command) => match Self::of_code(command.code, text) {
                Self::Lasting(text) if error.contains_label(RETRYABLE_WRITE_ERROR) => Self::Passing(text),
                Self::Lasting(_) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => Self::Conflict,
                failure => failure,
            },
            ErrorKind::Write(WriteFailure::WriteError(write)) => Self::of_code(write.code, text),
            ErrorKind::Write(_) => Self::Passing(text),
            ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::DnsResolve { .. } => Self::Passing(text),
            ErrorKind::BsonDeserialization(_) | ErrorKind::BsonSerialization(_) | ErrorKind::Bson(_) => {
                Self::Damaged(text)
            }
            _ => Self::Lasting(text),
        }
    }
}

impl From<mongodb::bson::error::Error> for Failure {
    fn from(error: mongodb::bson::error::Error) -> Self {
        Self::Damaged(format!("a document cannot be written: {error}"))
    }
}

/// What the driver says, in one line. It never holds the password: the driver redacts it.
fn describe(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::ServerSelection { .. } => "MongoDB cannot be reached".to_owned(),
        ErrorKind::Command(command) => format!("MongoDB says: {} ({})", command.message, command.code),
        kind => format!("MongoDB: {kind}"),
    }
}
