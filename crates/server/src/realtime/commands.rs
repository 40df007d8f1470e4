//! What a client may ask over its socket, one function an event. Every one answers its callback; none is fatal.

use crate::input::{Attach, Refused, clean_json, read_ack, read_mark, read_sync};
use crate::realtime::attach::{AttachError, find_start};
use crate::realtime::identity::identify;
use crate::realtime::session::{End, Session};
use serde::Serialize;
use tidings_auth::Principal;
use tidings_domain::{FieldError, Revision};
use tidings_socketio::{AckId, Event, Packet, SendError, Socket};
use tidings_store::{Marked, StoreError};
use tokio::time::Instant;

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

    /// Whether it is no refusal but a failure on our side: a client that is not refused comes back, also when the store was
    /// restored.
    pub fn is_passing(&self) -> bool {
        matches!(self.code, "unavailable" | "damaged")
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
            StoreError::Damaged(_) => {
                tracing::error!(%error, "an event could not be carried out; restore the store from a backup");
                Self::new("damaged", "what is stored here is damaged; the operator must restore it")
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
        // What one step adds always fits, so this does not happen.
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
        let argument = args.first().map_or("null", |argument| argument.get());
        // An acknowledgement counts only where it costs something, since it is cumulative.
        if name != "ack_notifications" {
            self.gate.count(Instant::now());
        }
        let argument = match clean_json(argument) {
            Ok(argument) => argument,
            Err(malformed) => return answer(&self.socket, ack, &Failure::from(Refused::from(malformed))),
        };
        let argument = &*argument;
        match name.as_str() {
            "register_user" => self.register(argument, ack).await,
            "ack_notifications" => self.acknowledge(argument, ack).await,
            "mark" => {
                self.settle_acks().await?;
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
                if new { self.announce(&ready).map_err(end_of) } else { Ok(()) }
            }
            Err(failure) if ack.is_some() => answer(&self.socket, ack, &failure),
            Err(failure) => {
                let packet = Packet::event("register_failed", &(failure,)).map_err(SendError::Encode);
                packet.and_then(|packet| self.socket.send(&packet)).map(drop).map_err(end_of)
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
        if let Some(reading) = &mut self.attached
            && *reading.attached.pump.user() == user
        {
            reading.attached.located = self.app.store.locate(&user, None).await?;
            let ready = reading.attached.ready();
            if let Some(principal) = identity.principal {
                self.renew(principal);
            }
            return Ok((ready, false));
        }
        let ready = self.attach(user, &attach, identity.principal).await?;
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
                if reading.acker.confirm(0, rev, ack) {
                    self.gate.count(Instant::now());
                }
                Ok(())
            }
            (Err(failure), _) => self.refuse_ack(ack, &failure),
            (Ok(_), None) => self.refuse_ack(ack, &Failure::not_registered()),
        }
    }

    /// Unlike one that is merged with others, a refused one counts.
    fn refuse_ack(&mut self, ack: Option<AckId>, failure: &Failure) -> Result<(), End> {
        self.gate.count(Instant::now());
        answer(&self.socket, ack, failure)
    }

    async fn check_ack(&mut self, argument: &str) -> Result<Revision, Failure> {
        let Some(reading) = &self.attached else { return Err(Failure::not_registered()) };
        let (rev, _) = read_ack(argument)?;
        // What this node has not heard of may still exist; what does not exist cannot have arrived.
        if rev > reading.attached.pump.head() {
            self.gate.count(Instant::now());
            let head = self.app.store.locate(reading.attached.pump.user(), None).await?.head;
            if rev > head {
                return Err(StoreError::AboveHead { head }.into());
            }
        }
        Ok(rev)
    }

    /// What was confirmed before is stored before what follows: a mark gives its notifications a new revision, which the
    /// confirmation of the old one would not reach any more, and they would never count as delivered.
    async fn settle_acks(&mut self) -> Result<(), End> {
        while let Some(reading) = self.attached.as_mut().filter(|reading| reading.acker.is_writing()) {
            let done = reading.acker.done().await;
            self.acknowledged(done)?;
        }
        Ok(())
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
                    Some(reading) => answer(&self.socket, ack, &reading.attached.ready()),
                    None => Ok(()),
                }
            }
        }
    }

    async fn try_sync(&mut self, argument: &str) -> Result<impl Serialize + use<>, Unsynced> {
        let Some(reading) = &mut self.attached else { return Err(Failure::not_registered().into()) };
        let given = read_sync(argument).map_err(Failure::from)?;
        let user = reading.attached.pump.user().clone();
        let located = self.app.store.locate(&user, Some(&reading.attached.device)).await?;
        let (start, unserved) = find_start(&self.app, &user, Some(given), &located).await?;
        reading.attached.restart(start, &unserved, None, located);
        Ok(reading.attached.ready())
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
