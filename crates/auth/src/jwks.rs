use crate::fetch::Fetcher;
use crate::jwk::{NamedKey, NotAKeySet, parse_set};
use crate::token::Token;
use crate::{JwksTiming, Refusal};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidings_domain::{Clock, Timestamp};
use tokio::sync::watch;

/// The keys that an issuer serves, fetched when needed.
///
/// - A token that the present keys do not know may have been signed by a new one: the set is fetched again, though
///   never within the floor of the fetch before, whatever is presented, and by one task for all who wait. That task
///   belongs to nobody, so that hanging up does not stop it.
/// - A set that is no longer fresh is fetched again in the background; nobody waits for that.
/// - A set that was fetched replaces the one before: a key that is no longer served is worth nothing. A fetch that
///   fails changes nothing: an outage of the issuer logs nobody out.
pub(crate) struct Jwks {
    fetcher: Fetcher,
    timing: JwksTiming,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Counts the fetches that have ended.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    keys: Arc<[NamedKey]>,
    is_fetching: bool,
    /// When the newest fetch began.
    tried_at: Option<Timestamp>,
    /// When the newest successful fetch ended.
    fetched_at: Option<Timestamp>,
    /// Whether the newest fetch that ended brought a set.
    succeeded: bool,
}

/// What the present keys say to a token.
enum Answer {
    Valid,
    /// The key it names is known and says no.
    No(Refusal),
    /// It may be signed by a key that is not here.
    Unknown(Refusal),
}

impl Jwks {
    pub(crate) fn new(fetcher: Fetcher, timing: JwksTiming, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { fetcher, timing, clock, state: Mutex::default(), ended: watch::Sender::new(0) })
    }

    /// Says once what an operator may not know of this key set.
    pub(crate) fn warn_of(&self, no_audience: bool) {
        let place = self.fetcher.place();
        if no_audience {
            tracing::warn!(
                jwks.url = place,
                "TIDINGS_JWKS_URL is set without TIDINGS_JWT_AUDIENCE: a token that the issuer made for any other application \
                 opens its user's inbox here"
            );
        }
        if self.fetcher.is_plain() {
            tracing::warn!(
                jwks.url = place,
                "TIDINGS_JWKS_URL is not https: who can change what the network carries decides which tokens are believed"
            );
        }
    }

    /// Fetches the set for the first time; a failure is logged and tried again when a token needs it.
    pub(crate) async fn warm_up(self: &Arc<Self>) {
        if let Some(fetch) = self.begin_fetch() {
            ended(fetch).await;
        }
    }

    /// Whether one of the keys has signed this token.
    pub(crate) async fn verify(self: &Arc<Self>, token: &Token<'_>) -> Result<(), Refusal> {
        if self.is_stale() {
            self.begin_fetch();
        }
        let refusal = match self.ask(token) {
            Answer::Valid => return Ok(()),
            Answer::No(refusal) => return Err(refusal),
            Answer::Unknown(refusal) => refusal,
        };
        let Some(fetch) = self.begin_fetch() else {
            return Err(self.unless_unavailable(refusal));
        };
        ended(fetch).await;
        match self.ask(token) {
            Answer::Valid => Ok(()),
            Answer::No(refusal) => Err(refusal),
            Answer::Unknown(refusal) => Err(self.unless_unavailable(refusal)),
        }
    }

    fn ask(&self, token: &Token<'_>) -> Answer {
        let keys = self.state().keys.clone();
        let named: Vec<_> = match &token.key_id {
            Some(id) => keys.iter().filter(|key| key.id.as_ref() == Some(id)).collect(),
            None => Vec::new(),
        };
        let candidates = if named.is_empty() {
            // A key without a name may be meant by any token, and a token without one may mean any key.
            keys.iter().filter(|key| key.id.is_none() || token.key_id.is_none()).collect()
        } else {
            named.clone()
        };
        let own: Vec<_> = candidates.iter().filter(|key| key.key.algorithm() == token.algorithm).collect();
        if own.iter().any(|key| key.key.verifies(token.signed, &token.signature)) {
            return Answer::Valid;
        }
        match (named.is_empty(), own.is_empty()) {
            (false, false) => Answer::No(Refusal::BadSignature),
            (false, true) => Answer::No(Refusal::WrongAlgorithm),
            (true, false) => Answer::Unknown(Refusal::BadSignature),
            (true, true) => Answer::Unknown(Refusal::UnknownKey),
        }
    }

    /// Without the set of this moment nobody can say that a key is unknown.
    fn unless_unavailable(&self, refusal: Refusal) -> Refusal {
        if self.state().succeeded { refusal } else { Refusal::Unavailable }
    }

    fn is_stale(&self) -> bool {
        let fetched_at = self.state().fetched_at;
        fetched_at.is_some_and(|at| has_passed(self.timing.fresh_for, at, self.clock.now()))
    }

    /// Joins the fetch that is under way or begins one; `None` within the floor.
    fn begin_fetch(self: &Arc<Self>) -> Option<watch::Receiver<u64>> {
        let mut state = self.state();
        // Under the lock, so that an end after this moment is not missed.
        let ended = self.ended.subscribe();
        if state.is_fetching {
            return Some(ended);
        }
        let now = self.clock.now();
        if state.tried_at.is_some_and(|at| !has_passed(self.timing.floor, at, now)) {
            return None;
        }
        state.tried_at = Some(now);
        state.is_fetching = true;
        tokio::spawn(Fetching(self.clone()).run());
        Some(ended)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when the fetch has ended, however it ended.
async fn ended(mut fetch: watch::Receiver<u64>) {
    // An error means that the sender is gone, and with it the fetch.
    let _ = fetch.changed().await;
}

/// A clock that was set back must not stop the fetching until it has caught up.
fn has_passed(duration: std::time::Duration, since: Timestamp, now: Timestamp) -> bool {
    now < since || now >= since.after(duration)
}

/// The one fetch that is under way. Dropped, even by a panic or by the end of the runtime, it lets those go who wait.
struct Fetching(Arc<Jwks>);

impl Fetching {
    async fn run(self) {
        let jwks = &self.0;
        let result = match jwks.fetcher.fetch().await {
            Ok(body) => {
                parse_set(&body).map_err(|NotAKeySet| "the answer is not a JSON Web Key Set".to_owned())
            }
            Err(error) => Err(error.to_string()),
        };
        let place = jwks.fetcher.place();
        match &result {
            Ok(keys) if keys.is_empty() => {
                tracing::warn!(jwks.url = place, "the key set serves no key that can be used");
            }
            Ok(keys) => tracing::debug!(jwks.url = place, jwks.keys = keys.len(), "fetched the key set"),
            Err(error) => {
                tracing::warn!(jwks.url = place, error, "cannot fetch the key set; the keys at hand stay");
            }
        }
        let mut state = jwks.state();
        state.succeeded = result.is_ok();
        if let Ok(keys) = result {
            state.keys = keys.into();
            state.fetched_at = Some(jwks.clock.now());
        }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_fetching = false;
        self.0.ended.send_modify(|count| *count += 1);
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwks({}, {} keys)", self.fetcher.place(), self.state().keys.len())
    }
}
