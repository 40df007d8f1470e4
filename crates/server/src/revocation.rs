//! Ending all sessions of a user: what was signed before that moment opens nothing any more.

use crate::app::App;
use tidings_auth::Principal;
use tidings_domain::Timestamp;
use tidings_store::StoreError;

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
    let ended_at = app.store.revoked_at(&verified.user).await?;
    Ok(ended_at.is_some_and(|ended_at| issued.is_ended(ended_at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Limits;
    use crate::bootstrap::serve;
    use crate::config::{Config, resolve};
    use crate::http::Requests;
    use crate::realtime::Hub;
    use crate::supervise::Workers;
    use std::collections::HashMap;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;
    use tidings_auth::Auth;
    use tidings_bus::{Listener, LocalBus};
    use tidings_domain::{SystemClock, UserId};
    use tidings_socketio::Origins;
    use tidings_store::{Silent, Store};
    use tidings_store_sqlite::{Options, SqliteStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Instant, timeout};
    use tokio_util::sync::CancellationToken;

    const DEADLINE: Duration = Duration::from_secs(30);
    const TTL: Duration = Duration::from_secs(3600);

    async fn started() -> (Arc<App>, SocketAddr, tempfile::TempDir) {
        let secret = |name: &str| (name == "TIDINGS_JWT_SECRET").then(|| "x".repeat(32));
        let config = Config::from_values(&resolve(&HashMap::new(), secret, &HashMap::new())).unwrap();
        let clock = Arc::new(SystemClock);
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(folder.path(), Options::default(), clock.clone(), Arc::new(Silent)).unwrap();
        let app = Arc::new(App {
            goodbyes: Default::default(),
            hub: Hub::new(store.epoch().clone(), Arc::new(LocalBus::new(tidings_bus::Link::Alone))),
            store: Arc::new(store),
            auth: Auth::new(config.auth.clone(), clock.clone()).await.unwrap(),
            clock,
            started: Instant::now(),
            requests: Requests::new(0),
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
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
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
        let path = format!("/v1/users/ana/stream?access_token={token}");
        let mut stream = ask(address, "GET", &path, "").await;
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("inbox_ready") {
            assert!(timeout(DEADLINE, stream.read_buf(&mut text)).await.expect("no stream").unwrap() > 0);
        }
        end_elsewhere(&app, &user).await;
        timeout(DEADLINE, stream.read_to_end(&mut text)).await.expect("the stream goes on").unwrap();
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
