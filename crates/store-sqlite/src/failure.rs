use rusqlite::ErrorCode;
use tidings_store::StoreError;

/// Why an operation inside of the database did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The caller asked for what cannot be. Decided before anything was written.
    #[error(transparent)]
    Refused(#[from] StoreError),
    /// SQLite could not.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    /// An operation panicked: a fault of ours. What it had begun is rolled back.
    #[error("a write failed by a fault of the server; the log says where")]
    Panicked,
    /// The file says what we never wrote.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            Some(_) => Self::Sqlite(error),
            None => match error {
                // A row that is not what we wrote, or is not there.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::QueryReturnedNoRows => Self::Damaged(error.to_string()),
                _ => Self::Sqlite(error),
            },
        }
    }
}

impl Failure {
    /// Whether another operation would meet the same: the disk fails, or another process holds the file. A damaged page is met
    /// only by those who read it.
    pub(crate) fn is_the_disk(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Damaged(_) | Self::Panicked => false,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::SystemIoFailure
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                )
            ),
        }
    }

    /// What the caller is told.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Sqlite(error) => {
                StoreError::Unavailable(match error.sqlite_error_code() {
                    Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
                    // Only the message: some of rusqlite's errors quote the statement, which is of no use to a caller.
                    _ => match error {
                        rusqlite::Error::SqliteFailure(code, message) => {
                            message.unwrap_or_else(|| code.to_string())
                        }
                        other => other.to_string(),
                    },
                })
            }
            Self::Damaged(detail) => StoreError::Damaged(detail),
            Self::Panicked => StoreError::Unavailable(self.to_string()),
        }
    }
}
