use crate::app::App;
use std::sync::Arc;
use std::time::Duration;
use tidings_store::Sweep;

/// How often expiry and retention are looked after.
const EVERY: Duration = Duration::from_secs(1);

/// Between two slices, so that sends come first.
const PAUSE: Duration = Duration::from_millis(20);

/// How many rows one slice touches.
const SLICE: usize = 100;

/// Looks after expiry and retention until the server ends.
pub async fn upkeep(app: Arc<App>, retention: Duration) {
    loop {
        let pause = match app.store.sweep(Sweep { retention, limit: SLICE }).await {
            Ok(swept) if swept.more => PAUSE,
            Ok(_) => EVERY,
            Err(error) => {
                tracing::warn!(%error, "upkeep could not be done");
                EVERY * 10
            }
        };
        tokio::select! {
            () = app.draining.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
