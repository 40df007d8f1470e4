//! What a client may ask over its socket, one function an event. Every one answers its callback; none is fatal but
//! flooding.

use crate::input::{Attach, Refused, check_json, read_ack, read_mark, read_sync};
use crate::realtime::attach::{AttachError, check_given};
use crate::realtime::identity::identify;
use crate::realtime::session::{End, Session};
use serde::Serialize;
use tidings_auth::Principal;
use tidings_domain::{FieldError, Mode, Revision, Start};
use tidings_socketio::{AckId, Event, Packet, SendError, Socket};
use tidings_store::{Marked, StoreError};
use tokio::time::{Duration, Instant};

/// A refusal, as callbacks, `register_failed` and a `connect_error`'s `data` carry it.
#[derive(Debug, Serialize)]
pub struct Failure {
    ok: bool,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Failure {
    /// A refusal with a stable word and a text for people.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { ok: false, code, detail: detail.into(), errors: Vec::new() }
    }

    /// The stable word.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether it is no refusal but a failure that will pass.
    pub fn is_passing(&self) -> bool {
        self.code == "unavailable"
    }

    fn not_registered() -> Self {
        Self::new("unauthorized", "register_user first: this socket has not said whose inbox it is for")
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        let errors = match refused {
            Refused::Malformed(_) => Vec::new(),
            Refused::Invalid(invalid) => invalid.0,
        };
        Self { errors, ..Self::new("invalid_request", detail) }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "an event could not be carried out");
                Self::new("unavailable", "the store is unavailable; try again")
            }
            StoreError::ResyncRequired(reason) => Self::new("resync_required", reason.to_string()),
            StoreError::AboveHead { head } => {
                Self::new("invalid_request", format!("rev is above the newest revision, {head}"))
            }
            StoreError::IdempotencyMismatch => Self::new("idempotency_mismatch", error.to_string()),
        }
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Crowded => Self::new("rate_limited", error.to_string()),
            AttachError::Revoked => Self::new("unauthorized", error.to_string()),
            AttachError::Store(error) => error.into(),
        }
    }
}

#[derive(Serialize)]
struct Confirmed {
    ok: bool,
    rev: Revision,
}

#[derive(Serialize)]
struct MarkAnswer {
    ok: bool,
    rev: Revision,
    changed: u64,
    #[serde(flatten)]
    counts: tidings_domain::Counts,
}

#[derive(Serialize)]
struct Refreshed {
    ok: bool,
    expires_at: tidings_domain::Timestamp,
}

fn answer(socket: &Socket, callback: Option<AckId>, value: &impl Serialize) -> Result<(), End> {
    let Some(id) = callback else { return Ok(()) };
    match socket.ack(id, &(value,)) {
        Ok(_) => Ok(()),
        Err(error) => Err(end_of(error)),
    }
}

/// What a failed write means for its socket.
pub fn end_of(error: SendError) -> End {
    match error {
        SendError::Closed => End::Gone,
        // The window is smaller than the buffer, so this is callbacks that nobody reads.
        SendError::Full => End::Close,
        SendError::Encode(error) => {
            tracing::error!(%error, "an event could not be encoded; its socket is closed");
            End::Close
        }
    }
}

/// Answers the callback of an `ack_notifications`.
pub fn answer_ack(
    socket: &Socket,
    callback: AckId,
    result: &Result<Revision, StoreError>,
) -> Result<(), End> {
    match result {
        Ok(rev) => answer(socket, Some(callback), &Confirmed { ok: true, rev: *rev }),
        Err(error) => answer(socket, Some(callback), &Failure::from(error.clone())),
    }
}

impl Session {
    /// Carries out one event of the client.
    pub(super) async fn on_event(&mut self, event: Event) -> Result<(), End> {
        let Event { name, args, ack, .. } = event;
        match self.gate.pass(Instant::now()) {
            Gate::Open => {}
            Gate::Shut => {
                let failure = Failure::new("rate_limited", "too many events a second from this socket");
                return answer(&self.socket, ack, &failure);
            }
            Gate::Abused => return Err(End::Close),
        }
        let argument = args.first().map_or("null", |argument| argument.get());
        if let Err(malformed) = check_json(argument.as_bytes()) {
            return answer(&self.socket, ack, &Failure::from(Refused::from(malformed)));
        }
        match name.as_str() {
            "register_user" => self.register(argument, ack).await,
            "ack_notifications" => self.acknowledge(argument, ack).await,
            "mark" => {
                let marked = self.mark(argument).await;
                self.reply(ack, marked)
            }
            "sync" => self.sync(argument, ack).await,
            "refresh_token" => {
                let refreshed = self.refresh(argument).await;
                self.reply(ack, refreshed)
            }
            _ => answer(&self.socket, ack, &Failure::new("not_found", "there is no such event")),
        }
    }

    fn reply<T: Serialize>(&self, ack: Option<AckId>, result: Result<T, Failure>) -> Result<(), End> {
        match result {
            Ok(value) => answer(&self.socket, ack, &value),
            Err(failure) => answer(&self.socket, ack, &failure),
        }
    }

    async fn register(&mut self, argument: &str, ack: Option<AckId>) -> Result<(), End> {
        match self.try_register(argument).await {
            Ok((ready, new)) => {
                answer(&self.socket, ack, &ready)?;
                if new { self.announce(&ready).map_err(|_| End::Close) } else { Ok(()) }
            }
            Err(failure) if ack.is_some() => answer(&self.socket, ack, &failure),
            Err(failure) => {
                let sent =
                    Packet::event("register_failed", &(failure,)).map(|packet| self.socket.send(&packet));
                if matches!(sent, Ok(Ok(_))) { Ok(()) } else { Err(End::Close) }
            }
        }
    }

    /// What the client is told, and whether it is attached anew.
    async fn try_register(
        &mut self,
        argument: &str,
    ) -> Result<(crate::realtime::attach::Ready, bool), Failure> {
        let attach = Attach::from_argument(argument)?;
        let identity = identify(&self.app, &attach, self.principal.as_ref(), None).await?;
        let Some(user) = identity.user else {
            return Err(match identity.principal {
                Some(_) => Refused::from(tidings_domain::Invalid::one("user_id", "is required")).into(),
                None => tidings_auth::Refusal::Missing.into(),
            });
        };
        if let Some(principal) = identity.principal {
            self.renew(principal);
        }
        if let Some(reading) = &mut self.attached
            && *reading.attached.pump.user() == user
        {
            reading.attached.located = self.app.store.locate(&user, None).await?;
            return Ok((reading.attached.ready(self.app.store.epoch()), false));
        }
        let ready = self.attach(user, &attach).await?;
        Ok((ready, true))
    }

    async fn refresh(&mut self, argument: &str) -> Result<impl Serialize + use<>, Failure> {
        let Ok(token) = serde_json::from_str::<String>(argument) else {
            return Err(Failure::new("invalid_request", "the argument must be a token, as a string"));
        };
        if self.app.auth.is_open() {
            return Err(Failure::new("unauthorized", "this server has no key to check a token with"));
        }
        let attach = Attach { token: Some(token), ..Attach::default() };
        let identity = identify(&self.app, &attach, None, None).await?;
        let Some(Principal::User(verified)) = identity.principal else {
            return Err(Failure::new("invalid_request", "the argument must be a user token"));
        };
        match &self.attached {
            None => return Err(Failure::not_registered()),
            Some(reading) if *reading.attached.pump.user() != verified.user => {
                return Err(Failure::new("forbidden", "this token is another user's"));
            }
            Some(_) => {}
        }
        let expires_at = verified.expires_at;
        self.renew(Principal::User(verified));
        Ok(Refreshed { ok: true, expires_at })
    }

    async fn acknowledge(&mut self, argument: &str, ack: Option<AckId>) -> Result<(), End> {
        let checked = self.check_ack(argument).await;
        match (checked, &mut self.attached) {
            (Ok(rev), Some(reading)) => {
                // The client's word covers everything up to there, as it is cumulative.
                if reading.acker.has_room() {
                    reading.acker.confirm(0, rev, ack);
                    Ok(())
                } else {
                    let failure = Failure::new("rate_limited", "too many acknowledgements at once");
                    answer(&self.socket, ack, &failure)
                }
            }
            (Err(failure), _) => answer(&self.socket, ack, &failure),
            (Ok(_), None) => answer(&self.socket, ack, &Failure::not_registered()),
        }
    }

    async fn check_ack(&mut self, argument: &str) -> Result<Revision, Failure> {
        let Some(reading) = &self.attached else { return Err(Failure::not_registered()) };
        let (rev, _) = read_ack(argument)?;
        // What this node has not heard of may still exist; what does not exist cannot have arrived.
        if rev > reading.attached.pump.head() {
            let head = self.app.store.locate(reading.attached.pump.user(), None).await?.head;
            if rev > head {
                return Err(StoreError::AboveHead { head }.into());
            }
        }
        Ok(rev)
    }

    async fn mark(&mut self, argument: &str) -> Result<impl Serialize + use<>, Failure> {
        let Some(reading) = &self.attached else { return Err(Failure::not_registered()) };
        let mark = read_mark(argument)?;
        let Marked { rev, changed, counts } = self.app.store.mark(reading.attached.pump.user(), mark).await?;
        Ok(MarkAnswer { ok: true, rev, changed, counts })
    }

    async fn sync(&mut self, argument: &str, ack: Option<AckId>) -> Result<(), End> {
        match self.try_sync(argument).await {
            Ok(ready) => answer(&self.socket, ack, &ready),
            Err(Unsynced::Failed(failure)) => answer(&self.socket, ack, &failure),
            Err(Unsynced::Snapshot(reason)) => {
                self.start_over(reason).await?;
                match &self.attached {
                    Some(reading) => {
                        answer(&self.socket, ack, &reading.attached.ready(self.app.store.epoch()))
                    }
                    None => Ok(()),
                }
            }
        }
    }

    async fn try_sync(&mut self, argument: &str) -> Result<impl Serialize + use<>, Unsynced> {
        let Some(reading) = &mut self.attached else { return Err(Failure::not_registered().into()) };
        let given = read_sync(argument).map_err(Failure::from)?;
        let user = reading.attached.pump.user().clone();
        let located = self.app.store.locate(&user, None).await?;
        let cursor = check_given(&self.app, &user, &given, &located).await?;
        let attached = &mut reading.attached;
        attached.pump.restart(cursor);
        attached.start = Start { cursor, mode: Mode::Resume };
        attached.resync = None;
        attached.located = located;
        Ok(attached.ready(self.app.store.epoch()))
    }
}

enum Unsynced {
    Failed(Failure),
    Snapshot(tidings_store::Resync),
}

impl From<Failure> for Unsynced {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<StoreError> for Unsynced {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::ResyncRequired(reason) => Self::Snapshot(reason),
            error => Self::Failed(error.into()),
        }
    }
}

/// Counts one socket's events, second by second.
#[derive(Debug)]
pub struct RateGate {
    limit: u32,
    second: Option<Instant>,
    events: u32,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It is carried out.
    Open,
    /// It is refused.
    Shut,
    /// The socket goes on although it was refused a hundred times: it is closed.
    Abused,
}

impl RateGate {
    /// How many refusals within a second a socket may ignore.
    const PATIENCE: u32 = 100;

    /// At most `limit` events a second; 0 is no limit.
    pub fn new(limit: u32) -> Self {
        Self { limit, second: None, events: 0 }
    }

    /// One more event.
    pub fn pass(&mut self, now: Instant) -> Gate {
        if self.limit == 0 {
            return Gate::Open;
        }
        if self.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.events = 0;
        }
        self.events = self.events.saturating_add(1);
        match self.events.checked_sub(self.limit) {
            None | Some(0) => Gate::Open,
            Some(over) if over <= Self::PATIENCE => Gate::Shut,
            Some(_) => Gate::Abused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_refuses_then_closes_and_opens_again() {
        let start = Instant::now();
        let mut gate = RateGate::new(2);
        assert_eq!(
            [gate.pass(start), gate.pass(start), gate.pass(start)],
            [Gate::Open, Gate::Open, Gate::Shut]
        );
        let last = (0..RateGate::PATIENCE).map(|_| gate.pass(start)).last();
        assert_eq!(last, Some(Gate::Abused));
        assert_eq!(gate.pass(start + Duration::from_secs(1)), Gate::Open);
    }
}
