use crate::failure::Failure;
use std::sync::{Mutex, PoisonError};
use tidings_store::StoreError;

/// Whether the last write went well. Said once when it changes, not at every call.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Option<String>>);

impl Health {
    /// A write is durable.
    pub(crate) fn succeeded(&self) {
        if self.lock().take().is_some() {
            tracing::info!("the store writes again");
        }
    }

    /// A write failed.
    pub(crate) fn failed(&self, failure: &Failure) {
        self.set(failure.to_string());
    }

    /// A write was not answered in time.
    pub(crate) fn stalled(&self) {
        self.set("the disk did not answer in time".to_owned());
    }

    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.lock().clone().map_or(Ok(()), |reason| Err(StoreError::Unavailable(reason)))
    }

    fn set(&self, reason: String) {
        let before = self.lock().replace(reason.clone());
        if before.is_none() {
            tracing::error!(store.error = reason, "the store cannot write");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
