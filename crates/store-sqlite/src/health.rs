use crate::failure::Failure;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tidings_store::StoreError;

/// Whether the last write went well, and whether damage was met. Said once when it changes, not at every call.
#[derive(Debug, Default)]
pub(crate) struct Health {
    writes: Mutex<Option<String>>,
    /// What was met first. It does not pass: only another file helps.
    damage: OnceLock<String>,
}

impl Health {
    /// A write is durable.
    pub(crate) fn succeeded(&self) {
        if self.lock().take().is_some() {
            tracing::info!("the store writes again");
        }
    }

    /// A write failed.
    pub(crate) fn failed(&self, failure: &Failure) {
        match failure {
            Failure::Damaged(detail) => self.damaged(detail),
            other => self.set(other.to_string()),
        }
    }

    /// A write was not answered in time.
    pub(crate) fn stalled(&self) {
        self.set("the disk did not answer in time".to_owned());
    }

    /// Something in the file is not what was written.
    pub(crate) fn damaged(&self, detail: &str) {
        if self.damage.set(detail.to_owned()).is_ok() {
            tracing::error!(
                store.error = detail,
                "the database is damaged; what can be read is served, restore it from a backup"
            );
        }
    }

    /// Whether no damage was met.
    pub(crate) fn check_damage(&self) -> Result<(), StoreError> {
        self.damage.get().map_or(Ok(()), |detail| Err(StoreError::Damaged(detail.clone())))
    }

    /// What is wrong with the writes.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.lock().clone().map_or(Ok(()), |reason| Err(StoreError::Unavailable(reason)))
    }

    fn set(&self, reason: String) {
        let before = self.lock().replace(reason.clone());
        if before.is_none() {
            tracing::error!(store.error = reason, "the store cannot write");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
