//! A socket's beginning: who its client is, which registration it takes up again, and the answer to its CONNECT.

use crate::app::App;
use crate::input::{Attach, clean_json};
use crate::realtime::attach::AttachError;
use crate::realtime::commands;
use crate::realtime::gate::RateGate;
use crate::realtime::identity::{Identity, identify};
use crate::realtime::session::{Returning, Session};
use std::sync::Arc;
use tidings_socketio::{Close, Connect, Socket};
use tokio::time::Instant;

impl Session {
    /// Answers the CONNECT, and attaches when it says for whom. `None`: refused or gone.
    pub(super) async fn open(app: Arc<App>, socket: Socket, connect: Connect) -> Option<Self> {
        let auth = connect.auth.as_ref().map_or("{}", |auth| auth.get());
        let attach = match clean_json(auth).map_err(Into::into).and_then(|auth| Attach::from_auth(&auth)) {
            Ok(attach) => attach,
            Err(refused) => {
                socket.refuse("invalid auth", Some(&commands::Failure::from(refused)));
                return None;
            }
        };
        let known = match &attach.pid {
            None => None,
            Some(pid) => {
                app.goodbyes.settled(pid).await;
                match app.store.registration(pid).await {
                    Ok(known) => known,
                    Err(error) => {
                        // A refusal would end an official client for good; closed, it comes back.
                        tracing::warn!(%error, "a returning socket cannot be served now");
                        socket.close(Close::Transport);
                        return None;
                    }
                }
            }
        };
        let restored = known.as_ref().map(|(user, _)| user);
        let Identity { principal, user } = match identify(&app, &attach, None, restored).await {
            Ok(identity) => identity,
            Err(failure) if failure.is_passing() => {
                socket.close(Close::Transport);
                return None;
            }
            Err(failure) => {
                socket.refuse(failure.code(), Some(&failure));
                return None;
            }
        };

        // A pid names a device of the user who registered with it; for another user it opens nothing.
        let returns = user.is_some() && known.as_ref().map(|(user, _)| user) == user.as_ref();
        let pid = match &attach.pid {
            Some(pid) if returns => pid.clone(),
            _ => uuid::Uuid::new_v4().simple().to_string(),
        };
        let returning =
            known.map(|(user, device)| Box::new(Returning { user, device, offset: attach.offset.clone() }));
        let gate = RateGate::new(app.limits.events_per_second);
        let since = Instant::now();
        let mut session =
            Self { app, socket, pid, since, gate, principal: principal.clone(), returning, attached: None };
        // Where the client is gone already nothing is sent, and the session ends as any other.
        let Some(user) = user else {
            let _ = session.socket.accept(Some(&session.pid));
            return Some(session);
        };
        match session.attach(user, &attach, principal).await {
            Ok(ready) => {
                if session.socket.accept(Some(&session.pid)).is_ok() {
                    let _ = session.announce(&ready);
                }
                Some(session)
            }
            Err(AttachError::Revoked) => {
                let failure = commands::Failure::from(AttachError::Revoked);
                session.socket.refuse(failure.code(), Some(&failure));
                None
            }
            Err(error @ AttachError::Crowded) => {
                session.socket.refuse("too many sockets", Some(&commands::Failure::from(error)));
                None
            }
            Err(AttachError::Store(error)) => {
                tracing::warn!(%error, "a socket cannot be attached now");
                session.socket.close(Close::Transport);
                None
            }
        }
    }
}
