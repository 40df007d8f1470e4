//! SIGHUP, which never ends the process: it reads the certificate again where there is one, and is a log line elsewhere.

use crate::supervise::Workers;
use crate::tls::Tls;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// Catches the signal from here on, to the end of the process; so it is called before anything else at the start.
pub fn caught() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Does what the signal asks for, until the workers end.
pub fn reload(workers: &Workers, hangups: Signal, tls: Option<Arc<Tls>>) {
    let hangups = Arc::new(Mutex::new(hangups));
    workers.spawn("the reload on SIGHUP", move || follow(hangups.clone(), tls.clone()));
}

async fn follow(hangups: Arc<Mutex<Signal>>, tls: Option<Arc<Tls>>) -> Infallible {
    let mut hangups = hangups.lock().await;
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        match tls.as_ref().map(|tls| tls.reload()) {
            None => {
                tracing::info!("SIGHUP: there is nothing to read again, since no certificate is configured")
            }
            Some(Ok(())) => tracing::info!("the certificate was read again"),
            Some(Err(error)) => tracing::error!(%error, "the certificate before stays in use"),
        }
    }
}
