//! Ending all sessions of a user: what was signed before that moment opens nothing any more.

use crate::app::App;
use std::time::Duration;
use tidings_auth::Principal;
use tidings_domain::{Timestamp, UserId};
use tidings_store::{Store, StoreError};

/// When the token was issued that opened a session; it may not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued(pub Option<Timestamp>);

impl Issued {
    /// `None`: it was opened without a token.
    pub fn of(principal: &Principal) -> Option<Self> {
        match principal {
            Principal::User(verified) => Some(Self(verified.issued_at)),
            _ => None,
        }
    }

    /// Whether it was issued before its user's sessions were ended. A token that does not say counts as older.
    pub fn is_ended(self, ended_at: Timestamp) -> bool {
        // Most issuers write `iat` in whole seconds, cut off: such a token of the very second is refused, ours are told apart.
        self.0.is_none_or(|issued| issued <= ended_at)
    }
}

/// Whether the principal's token was issued before its user's sessions were ended.
pub async fn check_revoked(app: &App, principal: &Principal) -> Result<bool, StoreError> {
    let (Principal::User(verified), Some(issued)) = (principal, Issued::of(principal)) else {
        return Ok(false);
    };
    let ended_at = ended_at(&*app.store, &verified.user, app.clock.now()).await?;
    Ok(ended_at.is_some_and(|ended_at| issued.is_ended(ended_at)))
}

/// How far the clocks of nodes and issuers may differ. An end that lies further ahead was stored while a clock was wrong.
const CLOCKS: Duration = Duration::from_secs(5);

/// No clock that is right is before this: 2026-01-01.
const EARLIEST: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// When the user's sessions were last ended. An end that lies ahead counts as now, from here on and for every node: it is
/// stored so. Otherwise each new token would be refused until the clock had caught up with that end.
///
/// Asked for a token that is valid by this node's clock, which says that the clock is about the issuer's: it is the end that
/// is wrong. The token itself is refused, since it was issued before now.
pub async fn ended_at(
    store: &dyn Store,
    user: &UserId,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let latest = now.after(CLOCKS);
    match store.revoked_at(user).await? {
        Some(ended_at) if ended_at > latest => {
            tracing::warn!(
                user.id = %user,
                ended_at = %ended_at,
                "the end of this user's sessions lies ahead: a clock was wrong; it counts as now"
            );
            if let Err(error) = store.pull_back_revocations(Some(user), latest, now).await {
                tracing::warn!(user.id = %user, %error, "that end could not be stored as now; it is tried again");
            }
            Ok(Some(now))
        }
        ended_at => Ok(ended_at),
    }
}

/// The same for all users, at the start; not by a clock that has not been set yet.
pub async fn pull_back(store: &dyn Store, now: Timestamp) {
    if now < EARLIEST {
        tracing::warn!(now = %now, "the clock of this machine is not set: tokens cannot be checked right");
        return;
    }
    if let Err(error) = store.pull_back_revocations(None, now.after(CLOCKS), now).await {
        tracing::warn!(%error, "ends of sessions that lie ahead could not be stored as now");
    }
}

/// Ends the user's sessions in the store, and those that are live at once, whether the store can take it or not. Returns how
/// many were live, on this node and those that answered; and whether it is stored, so that older tokens stay refused.
pub async fn end_sessions(app: &App, user: &UserId) -> (usize, Result<(), StoreError>) {
    let store = async {
        app.store.revoke(user, app.clock.now()).await?;
        // One of before may lie ahead.
        ended_at(&*app.store, user, app.clock.now()).await.map(drop)
    };
    let (live, stored) = tokio::join!(app.hub.end(user), store);
    // Whoever attached while it was stored has not been refused, and is in the hub now.
    (live + app.hub.end(user).await, stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Limits;
    use crate::bootstrap::serve;
    use crate::config::{Config, resolve};
    use crate::http::{Answers, Requests};
    use crate::realtime::Hub;
    use crate::supervise::Workers;
    use std::collections::HashMap;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use tidings_auth::Auth;
    use tidings_bus::{Listener, LocalBus};
    use tidings_domain::SystemClock;
    use tidings_socketio::Origins;
    use tidings_store::Silent;
    use tidings_store_sqlite::{Options, SqliteStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Instant, timeout};
    use tokio_util::sync::CancellationToken;

    const DEADLINE: Duration = Duration::from_secs(30);
    const TTL: Duration = Duration::from_secs(3600);

    const API_KEY: &str = "an-api-key-of-the-test";

    async fn started() -> (Arc<App>, SocketAddr, tempfile::TempDir) {
        let secret = |name: &str| match name {
            "TIDINGS_JWT_SECRET" => Some("x".repeat(32)),
            "TIDINGS_API_KEYS" => Some(API_KEY.to_owned()),
            _ => None,
        };
        let config = Config::from_values(&resolve(&HashMap::new(), secret, &HashMap::new())).unwrap();
        let clock = Arc::new(SystemClock);
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(folder.path(), Options::default(), clock.clone(), Arc::new(Silent)).unwrap();
        let app = Arc::new(App {
            goodbyes: Default::default(),
            hub: Hub::new(Arc::new(LocalBus::new(tidings_bus::Link::Alone))),
            store: Arc::new(store),
            auth: Auth::new(config.auth.clone(), clock.clone()).await.unwrap(),
            clock,
            started: Instant::now(),
            requests: Requests::new(0),
            answers: Answers::new(config.max_answers),
            origins: Origins::same_origin(),
            limits: Limits {
                body: config.max_body,
                batch: config.max_batch,
                sockets_per_user: 0,
                events_per_second: 0,
                trusted_proxies: Vec::new(),
                limit_loopback: false,
                register: config.register,
            },
            workers: Workers::default(),
            draining: CancellationToken::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = app.clone();
        tokio::spawn(
            async move { serve(serving, vec![listener], None, &config, CancellationToken::new()).await },
        );
        (app, address, folder)
    }

    async fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(to).await.unwrap();
        let length = body.len();
        // Where no token is in the path or the body, it is a server that asks.
        let bearer = match method {
            "DELETE" => format!("authorization: Bearer {API_KEY}\r\n"),
            _ => String::new(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n{bearer}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn answer(to: SocketAddr, method: &str, path: &str, body: &str) -> String {
        let mut text = String::new();
        let mut stream = ask(to, method, path, body).await;
        timeout(DEADLINE, stream.read_to_string(&mut text)).await.expect("no answer").unwrap();
        text
    }

    #[tokio::test]
    async fn a_server_whose_worker_panics_is_not_ready_until_it_runs_again() {
        let (app, address, _folder) = started().await;
        assert!(answer(address, "GET", "/health/ready", "").await.starts_with("HTTP/1.1 200 "));
        let lives = std::sync::atomic::AtomicU32::new(0);
        app.workers.spawn("the test's worker", move || {
            let life = lives.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move {
                assert!(life > 0, "the first life");
                std::future::pending().await
            }
        });
        let refused = |text: &str| text.starts_with("HTTP/1.1 503 ") && text.contains("the test's worker");
        polled(address, "/health/ready", refused).await;
        assert!(answer(address, "GET", "/health/live", "").await.starts_with("HTTP/1.1 200 "));
        polled(address, "/health/ready", |text| text.starts_with("HTTP/1.1 200 ")).await;
    }

    async fn polled(to: SocketAddr, path: &str, fits: impl Fn(&str) -> bool) {
        let polling = async { while !fits(&answer(to, "GET", path, "").await) {} };
        timeout(DEADLINE, polling).await.expect("polled in vain");
    }

    /// The end is written to the store only, as if another node had been asked and could not tell this one.
    async fn end_elsewhere(app: &App, user: &UserId) {
        app.store.revoke(user, app.clock.now()).await.unwrap();
        app.hub.joined(std::slice::from_ref(user));
    }

    #[tokio::test]
    async fn a_stream_learns_from_the_store_that_its_token_was_ended() {
        let (app, address, _folder) = started().await;
        let user = UserId::new("ana").unwrap();
        let token = app.auth.mint(&user, TTL).unwrap().0;
        let (mut stream, mut text) = attached(address, &token).await;
        end_elsewhere(&app, &user).await;
        timeout(DEADLINE, stream.read_to_end(&mut text)).await.expect("the stream goes on").unwrap();
    }

    /// The stream of a token, once it is attached; and what came so far.
    async fn attached(to: SocketAddr, token: &str) -> (TcpStream, Vec<u8>) {
        let mut stream = ask(to, "GET", &format!("/v1/users/ana/stream?access_token={token}"), "").await;
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("inbox_ready") {
            assert!(timeout(DEADLINE, stream.read_buf(&mut text)).await.expect("no stream").unwrap() > 0);
        }
        (stream, text)
    }

    #[tokio::test]
    async fn where_the_end_cannot_be_stored_what_is_live_ends_all_the_same() {
        let (app, address, _folder) = started().await;
        let user = UserId::new("ana").unwrap();
        let (mut stream, mut text) = attached(address, &app.auth.mint(&user, TTL).unwrap().0).await;
        // A store that takes nothing any more, as on a full disk.
        app.store.close().await;
        let refused = answer(address, "DELETE", "/v1/users/ana/sessions", "").await;
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        timeout(DEADLINE, stream.read_to_end(&mut text)).await.expect("the stream goes on").unwrap();
    }

    #[tokio::test]
    async fn each_session_that_ends_is_counted_once() {
        let (app, address, _folder) = started().await;
        let user = UserId::new("ana").unwrap();
        let token = app.auth.mint(&user, TTL).unwrap().0;
        let (_one, _two) = (attached(address, &token).await, attached(address, &token).await);
        let ended = answer(address, "DELETE", "/v1/users/ana/sessions", "").await;
        assert!(ended.ends_with("{\"ended\":2}"), "{ended}");
        let refused = answer(address, "GET", &format!("/v1/users/ana/stream?access_token={token}"), "").await;
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    }

    #[tokio::test]
    async fn an_end_that_lies_ahead_counts_as_now() {
        let (app, address, _folder) = started().await;
        let user = UserId::new("ana").unwrap();
        let old = app.auth.mint(&user, TTL).unwrap().0;
        // Ended while the clock was two days ahead; then it was corrected.
        let ahead = app.clock.now().after(Duration::from_secs(2 * 86_400));
        app.store.revoke(&user, ahead).await.unwrap();
        let status = async |token: &str| {
            let path = format!("/v1/users/ana/stream?access_token={token}");
            let mut stream = ask(address, "GET", &path, "").await;
            let mut line = [0; 12];
            timeout(DEADLINE, stream.read_exact(&mut line)).await.expect("no answer").unwrap();
            String::from_utf8_lossy(&line).into_owned()
        };
        assert_eq!(status(&old).await, "HTTP/1.1 401");
        let ended = app.store.revoked_at(&user).await.unwrap().unwrap();
        assert!(ended <= app.clock.now(), "for every node");
        while app.clock.now() <= ended {
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&app.auth.mint(&user, TTL).unwrap().0).await, "HTTP/1.1 200");
        assert_eq!(status(&old).await, "HTTP/1.1 401");

        // Ending them again where the one before lies ahead, and at the start for all.
        app.store.revoke(&user, ahead).await.unwrap();
        end_sessions(&app, &user).await.1.unwrap();
        assert!(app.store.revoked_at(&user).await.unwrap().unwrap() <= app.clock.now());
        app.store.revoke(&user, ahead).await.unwrap();
        pull_back(&*app.store, Timestamp::from_millis(0)).await;
        assert_eq!(app.store.revoked_at(&user).await.unwrap(), Some(ahead), "by a clock that is not set");
        pull_back(&*app.store, app.clock.now()).await;
        assert!(app.store.revoked_at(&user).await.unwrap().unwrap() <= app.clock.now());
    }

    #[tokio::test]
    async fn a_socket_learns_from_the_store_that_its_token_was_ended() {
        let (app, address, _folder) = started().await;
        let user = UserId::new("ana").unwrap();
        let token = app.auth.mint(&user, TTL).unwrap().0;
        let path = "/socket.io/?EIO=4&transport=polling";
        let open = answer(address, "GET", path, "").await;
        let sid = open.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
        let path = format!("{path}&sid={sid}");
        answer(address, "POST", &path, &format!("40{{\"token\":\"{token}\"}}")).await;
        polled(address, &path, |packets| packets.contains("inbox_ready")).await;
        end_elsewhere(&app, &user).await;
        polled(address, &path, |packets| packets.split(['\u{1e}', '\n']).any(|packet| packet == "41")).await;
    }
}
