use crate::app::App;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tidings_store::Sweep;

/// How often expiry and retention are looked after.
const EVERY: Duration = Duration::from_secs(1);

/// Between two slices, so that sends come first.
const PAUSE: Duration = Duration::from_millis(20);

/// How many rows one slice touches.
const SLICE: usize = 100;

/// Looks after expiry and retention for as long as it is polled.
pub async fn upkeep(app: Arc<App>, retention: Duration) -> Infallible {
    let mut failing = false;
    loop {
        let pause = match app.store.sweep(Sweep { retention, limit: SLICE }).await {
            Ok(swept) => {
                if failing {
                    tracing::info!("upkeep is done again");
                }
                failing = false;
                if swept.more { PAUSE } else { EVERY }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "upkeep could not be done; it is tried again");
                }
                failing = true;
                EVERY * 10
            }
        };
        tokio::time::sleep(pause).await;
    }
}
