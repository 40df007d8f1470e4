//! From polling to a websocket.
//!
//! The newcomer has to prove that it carries packets both ways before it takes over. Until its `5` the session goes on
//! over polling; from then on everything still queued goes out here. If it fails, only it is closed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use super::pump::Pump;
use super::response::ErrorCode;
use super::websocket::{self, Ws};
use crate::session::{Refused, Session};

/// Gives the claim back if the upgrade does not come about.
struct Claim {
    session: Arc<Session>,
    open: bool,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.open {
            self.session.with(|state, _, _| state.abandon_upgrade());
        }
    }
}

pub(super) fn serve(session: Arc<Session>, mut request: Request) -> Result<Response, ErrorCode> {
    let (response, upgrade) = websocket::accept(&mut request)?;
    drop(request);
    let claim = match session.with(|state, _, _| state.claim_upgrade()) {
        Ok(()) => Some(Claim { session, open: true }),
        // Browsers do not show a script the status of a refused websocket, so it is opened and ended.
        Err(Refused::Bad) => None,
        Err(Refused::Unknown) => return Err(ErrorCode::UnknownSid),
    };
    tokio::spawn(async move {
        // Boxed: a probe takes a moment, the task lives as long as the connection.
        if let Some((session, ws)) = Box::pin(take_over(claim, upgrade)).await {
            let reason = Pump::new(session.clone(), ws).await;
            session.retire(reason);
        }
    });
    Ok(response)
}

async fn take_over(claim: Option<Claim>, upgrade: hyper::upgrade::OnUpgrade) -> Option<(Arc<Session>, Ws)> {
    let Some(mut claim) = claim else {
        let config = crate::Config::default();
        websocket::hang_up(websocket::upgraded(upgrade, &config).await.ok()?).await;
        return None;
    };
    let session = claim.session.clone();
    let config = &session.server.config;
    let mut ws = websocket::upgraded(upgrade, config).await.ok()?;
    let probed = within(&session, config.upgrade_timeout, probe(&session, &mut ws)).await;
    let done = probed.is_some() && session.with(|state, _, wakes| state.complete_upgrade(wakes)).is_ok();
    if !done {
        drop(claim);
        websocket::hang_up(ws).await;
        return None;
    }
    claim.open = false;
    Some((session, ws))
}

/// A client completes its upgrade when its last POST was answered. While the application keeps that one waiting, the
/// client's time does not count.
async fn within<T>(session: &Session, limit: Duration, probe: impl Future<Output = Option<T>>) -> Option<T> {
    let mut probe = pin!(probe);
    loop {
        match tokio::time::timeout(limit, probe.as_mut()).await {
            Ok(probed) => return probed,
            Err(_) if session.with(|state, _, _| state.is_posting()) => {}
            Err(_) => return None,
        }
    }
}

/// `2probe`, `3probe`, `5`.
async fn probe(session: &Session, ws: &mut Ws) -> Option<()> {
    expect(ws, "2probe").await?;
    ws.send(Message::text("3probe")).await.ok()?;
    session.with(|state, _, wakes| state.probe(wakes));
    expect(ws, "5").await
}

async fn expect(ws: &mut Ws, packet: &str) -> Option<()> {
    loop {
        let message = ws.next().await?.ok()?;
        ws.get_mut().consumed(&message);
        match message {
            Message::Text(text) if text.as_str() == packet => return Some(()),
            Message::Ping(_) | Message::Pong(_) => {}
            _ => return None,
        }
    }
}
