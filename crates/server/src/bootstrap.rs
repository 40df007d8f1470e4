//! Puts the parts together; the only file that names concrete backends.

use crate::app::{App, Limits};
use crate::config::Config;
use crate::http::{Answers, Requests};
use crate::realtime::{Hub, SEND_LIMIT, STALL, check_heads, serve_socket};
use crate::supervise::Workers;
use crate::tls::{Tls, TlsError};
use crate::{hangup, http, revocation, upkeep};
use secrecy::{ExposeSecret, SecretString};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Weak};
use thiserror::Error;
use tidings_auth::{Auth, Unusable};
use tidings_bus::{Bus, Link, Listener, LocalBus, RedisBus};
use tidings_domain::{Change, Clock, SystemClock};
use tidings_socketio::{Origins, SocketIo};
use tidings_store::transfer::{Sink, Source};
use tidings_store::{Observer, Store};
use tidings_store_mongo::{ImportFrom, MongoStore, Originals};
use tidings_store_sqlite::SqliteStore;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why the server did not start; one sentence for the operator.
#[derive(Debug, Error)]
pub enum StartError {
    /// A key is configured but cannot be used.
    #[error(transparent)]
    Auth(#[from] Unusable),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Sqlite(#[from] tidings_store_sqlite::OpenError),
    /// The database cannot be used.
    #[error(transparent)]
    Mongo(#[from] tidings_store_mongo::OpenError),
    /// The command is not for this store.
    #[error("{0}")]
    OtherStore(&'static str),
    /// Nobody has said where the original's database is.
    #[error("--from-original needs the address of the original's MongoDB: give it, or set MONGODB_URI")]
    NoOriginal,
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The task that accepts connections has failed.
    #[error("the server has stopped accepting connections by a fault of its own; the log says which")]
    Deaf,
    /// The process cannot be set up.
    #[error("cannot start: {0}")]
    Process(#[from] io::Error),
}

/// What a commit sets off: the news goes to the bus.
struct Publisher(Arc<dyn Bus>);

impl Observer for Publisher {
    fn committed(&self, change: Change) {
        self.0.publish(Arc::new(change));
    }
}

/// Serves until SIGTERM or SIGINT, then drains.
pub async fn run(config: Config) -> Result<(), StartError> {
    let clock = Arc::new(SystemClock);
    let (workers, hangups) = (Workers::default(), hangup::caught()?);
    let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
    hangup::reload(&workers, hangups, tls.clone());
    let auth = Auth::new(config.auth.clone(), clock.clone()).await?;
    let listeners = if config.listen_both {
        http::listen_both(config.listen)
    } else {
        http::listen(config.listen).map(|listener| vec![listener])
    };
    let listeners = listeners.map_err(|(address, error)| StartError::Listen(address, error))?;
    let bus = bus(&config);
    let observer = Arc::new(Publisher(bus.clone()));
    let store = open_store(&config, clock.clone(), observer).await?;

    let hub = Hub::new(bus.clone());
    let listening: Weak<dyn Listener> = Arc::downgrade(&(hub.clone() as Arc<dyn Listener>));
    bus.listen(store.epoch(), listening);

    let app = Arc::new(App {
        store,
        hub,
        goodbyes: Default::default(),
        clock,
        started: Instant::now(),
        origins: origins(&config, auth.is_open()),
        auth,
        requests: Requests::new(config.max_requests_per_second),
        answers: Answers::new(config.max_answers),
        limits: Limits {
            body: config.max_body,
            batch: config.max_batch,
            sockets_per_user: config.max_sockets_per_user,
            events_per_second: config.max_events_per_second,
            trusted_proxies: config.trusted_proxies.clone(),
            limit_loopback: config.limit_loopback,
            register: config.register,
        },
        workers,
        draining: CancellationToken::new(),
    });
    serve(app, listeners, tls, &config, asked_to_end()?).await
}

/// MongoDB where it is configured, else the embedded one.
async fn open_store(
    config: &Config,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Store>, StartError> {
    if let Some(uri) = &config.mongodb {
        let options =
            tidings_store_mongo::Options { is_cluster: config.redis.is_some(), ..Default::default() };
        return Ok(Arc::new(MongoStore::open(uri.expose_secret(), options, clock, observer).await?));
    }
    let data_dir = config.data_dir.clone();
    let opening = move || SqliteStore::open(&data_dir, Default::default(), clock, observer);
    Ok(Arc::new(tokio::task::spawn_blocking(opening).await.map_err(io::Error::other)??))
}

/// How this node hears of the others: by Redis, when there are any.
fn bus(config: &Config) -> Arc<dyn Bus> {
    match &config.redis {
        Some(url) => Arc::new(RedisBus::new(url.clone(), tidings_bus::Options::default())),
        // Somebody else may write to a database; to our own file nobody does.
        None if config.mongodb.is_some() => Arc::new(LocalBus::new(Link::Up)),
        None => Arc::new(LocalBus::new(Link::Alone)),
    }
}

/// For what is done to the embedded store's file.
fn embedded(config: &Config) -> Result<(), StartError> {
    match &config.mongodb {
        Some(_) => Err(StartError::OtherStore(
            "MONGODB_URI is set, and this is for the embedded store; copy a database with MongoDB's own tools",
        )),
        None => Ok(()),
    }
}

/// Copies the embedded store into the new file `to`.
pub fn backup(config: &Config, to: &Path) -> Result<(), StartError> {
    embedded(config)?;
    tidings_store_sqlite::backup(&config.data_dir, to)?;
    Ok(())
}

/// Makes the embedded store of the copy `from`.
pub fn restore(config: &Config, from: &Path) -> Result<(), StartError> {
    embedded(config)?;
    tidings_store_sqlite::restore(from, &config.data_dir)?;
    Ok(())
}

/// Reads everything out of the store of these settings.
pub async fn source(config: &Config) -> Result<Box<dyn Source>, StartError> {
    let now = SystemClock.now();
    match &config.mongodb {
        Some(uri) => Ok(Box::new(tidings_store_mongo::export(uri.expose_secret(), now).await?)),
        None => Ok(Box::new(tidings_store_sqlite::export(&config.data_dir, now)?)),
    }
}

/// Fills the store of these settings, which must be empty.
pub async fn sink(config: &Config) -> Result<Box<dyn Sink>, StartError> {
    fill(config, ImportFrom::File).await
}

/// Reads the original system's database, the one at `uri` or else the one of these settings, and fills the store of these
/// settings. In MongoDB that goes on with what was cut off.
pub async fn original(
    config: &Config,
    uri: Option<SecretString>,
) -> Result<(Originals, Box<dyn Sink>), StartError> {
    let uri = uri.as_ref().or(config.mongodb.as_ref()).ok_or(StartError::NoOriginal)?;
    let originals = Originals::open(uri.expose_secret()).await?;
    Ok((originals, fill(config, ImportFrom::Original).await?))
}

async fn fill(config: &Config, from: ImportFrom) -> Result<Box<dyn Sink>, StartError> {
    match &config.mongodb {
        Some(uri) => Ok(Box::new(tidings_store_mongo::import(uri.expose_secret(), from).await?)),
        None => Ok(Box::new(tidings_store_sqlite::import(&config.data_dir)?)),
    }
}

/// Serves on bound listeners until `shutdown` is set, then drains and closes the store.
pub async fn serve(
    app: Arc<App>,
    listeners: Vec<TcpListener>,
    tls: Option<Arc<Tls>>,
    config: &Config,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let for_sockets = app.clone();
    let sockets = SocketIo::new(socket_config(config, &app.origins), move |socket, connect| {
        serve_socket(for_sockets.clone(), socket, connect)
    });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let urls: Vec<String> = listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| format!("{scheme}://{address}")))
        .collect::<Result<_, _>>()?;
    revocation::pull_back(&*app.store, app.clock.now()).await;
    let (upkeeping, retention) = (app.clone(), config.retention);
    app.workers.spawn("upkeep", move || upkeep::upkeep(upkeeping.clone(), retention));
    let checking = app.clone();
    app.workers.spawn("the check of heads", move || {
        // What was wanted before a panic is not known any more.
        checking.hub.checks.want_all();
        check_heads(checking.hub.clone(), checking.store.clone())
    });
    let router = http::router(app.clone(), &sockets);
    let stop_accepting = CancellationToken::new();
    let site = http::Site {
        app: app.clone(),
        router,
        tls,
        patience: http::Patience { keep_alive: config.keep_alive, head: config.handshake },
        connections: http::Connections::new(connection_bounds(config)),
    };
    let mut serving = tokio::spawn(http::serve(site, listeners, stop_accepting.clone(), config.drain));

    if app.auth.is_open() {
        tracing::warn!(
            "open mode: no key is configured, so anybody who reaches this address may read and send everything"
        );
    }
    tracing::info!(url = urls[0], "listening on {}", urls.join(" and "));

    let ended_early = tokio::select! {
        () = shutdown.cancelled() => None,
        ended = &mut serving => Some(ended),
    };
    tracing::info!(seconds = config.drain.as_secs(), "ending: sockets are closed over this time");
    app.draining.cancel();
    stop_accepting.cancel();
    sockets.drain(config.drain).await;
    let is_deaf = ended_early.is_some();
    let ended = match ended_early {
        Some(ended) => ended,
        None => serving.await,
    };
    app.workers.end().await;
    app.store.close().await;
    // It accepts until it is told to stop: anything else is a fault, and whoever watches the process must learn of it.
    if is_deaf || ended.is_err() {
        return Err(StartError::Deaf);
    }
    tracing::info!("ended");
    Ok(())
}

fn asked_to_end() -> Result<CancellationToken, io::Error> {
    let token = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let set = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        set.cancel();
    });
    Ok(token)
}

/// In open mode any loopback page may talk to the server, and `Host` must be loopback too; or, where the operator has put
/// the server on another address on purpose, an address.
fn origins(config: &Config, open: bool) -> Origins {
    let base = match (open, config.listen.ip().is_loopback()) {
        (false, _) => Origins::same_origin(),
        (true, true) => Origins::loopback(),
        (true, false) => Origins::addresses(),
    };
    base.with(config.allowed_origins.iter().cloned()).with_hosts(config.allowed_hosts.iter().cloned())
}

/// No more than there are descriptors for, whatever is configured: past those the system refuses everybody.
fn connection_bounds(config: &Config) -> http::Bounds {
    let most = http::descriptors();
    let all = if config.max_connections == 0 { most } else { config.max_connections.min(most) };
    if all < config.max_connections {
        tracing::warn!(
            all,
            "there are file descriptors for fewer connections than TIDINGS_MAX_CONNECTIONS says"
        );
    }
    http::Bounds {
        all,
        per_address: config.max_connections_per_address,
        limit_loopback: config.limit_loopback,
        trusted_proxies: config.trusted_proxies.clone(),
    }
}

fn socket_config(config: &Config, origins: &Origins) -> tidings_socketio::Config {
    tidings_socketio::Config {
        handshake_timeout: config.handshake,
        max_packet_bytes: config.max_packet,
        send_buffer_bytes: SEND_LIMIT,
        stall_timeout: STALL,
        origins: origins.clone(),
        max_sockets: config.max_sockets,
        max_sockets_per_address: config.max_sockets_per_address,
        max_handshakes_per_second: config.max_handshakes_per_second,
        limit_loopback: config.limit_loopback,
        ..tidings_socketio::Config::default()
    }
}
