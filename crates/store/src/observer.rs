use tidings_domain::Change;

/// Hears of every change after it is durable, and before the call that made it returns. Called by the store's writer: must
/// be quick, must not block, must not panic and must not call the store.
pub trait Observer: Send + Sync + 'static {
    /// `change` is durable.
    fn committed(&self, change: Change);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn committed(&self, _: Change) {}
}
