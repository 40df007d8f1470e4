//! What an operator sets. [`Config::from_values`] makes typed values of the texts and refuses, by name, what cannot be.

mod dotenv;
mod origins;
mod settings;
mod source;

pub use settings::{SETTINGS, Setting};
pub use source::{EnvFile, Origin, Value, check_environment, read_env_file, resolve, strangers};

use ipnet::IpNet;
use secrecy::SecretString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tidings_bus::RedisUrl;

#[cfg(test)]
pub(crate) fn parse_env(text: &str) -> Vec<(String, String)> {
    dotenv::parse(text).values
}

/// A setting that cannot be; one sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The effective settings, typed.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether also on the other loopback address, which `localhost` may mean too.
    pub listen_both: bool,
    /// The embedded store's folder.
    pub data_dir: PathBuf,
    /// MongoDB as the store, instead of the embedded one.
    pub mongodb: Option<SecretString>,
    /// Where the nodes of a cluster hear each other; `None`: this node is alone.
    pub redis: Option<RedisUrl>,
    /// Who may do what.
    pub auth: tidings_auth::Settings,
    /// The certificate and its key, for TLS by the server itself.
    pub tls: Option<TlsFiles>,
    /// Origins of browser requests beside the server's own.
    pub allowed_origins: Vec<String>,
    /// Names of the server beside loopback's and addresses, in open mode.
    pub allowed_hosts: Vec<String>,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// How long notifications are kept.
    pub retention: Duration,
    /// How long SIGTERM may take.
    pub drain: Duration,
    /// To send a request's headers and to finish a handshake.
    pub handshake: Duration,
    /// How long an idle HTTP connection is kept.
    pub keep_alive: Duration,
    /// To register a connected socket.
    pub register: Duration,
    /// One request, in bytes.
    pub max_body: usize,
    /// One batch, in bytes.
    pub max_batch: usize,
    /// One message or polling body on a socket, in bytes.
    pub max_packet: usize,
    /// Answers that are being written, all together, in bytes.
    pub max_answers: usize,
    /// Connections in all; 0: as many as there are descriptors for.
    pub max_connections: usize,
    /// Connections of one address; 0: no limit.
    pub max_connections_per_address: usize,
    /// Sockets in all; 0: no limit.
    pub max_sockets: usize,
    /// Sockets of one user; 0: no limit.
    pub max_sockets_per_user: usize,
    /// Sockets of one address; 0: no limit.
    pub max_sockets_per_address: usize,
    /// New sockets a second in all; 0: no limit.
    pub max_handshakes_per_second: u32,
    /// Events a second from one socket; 0: no limit.
    pub max_events_per_second: u32,
    /// Requests a second from one key or address; 0: no limit.
    pub max_requests_per_second: u32,
    /// Whether limits by address also hold for loopback.
    pub limit_loopback: bool,
    /// What is logged.
    pub log: String,
    /// Whether the log is for machines.
    pub log_json: bool,
}

/// Where the certificate chain and its private key lie, both as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Whether nothing that could tell people apart is configured: anybody may do anything.
pub fn is_open(values: &[Value]) -> bool {
    ["TIDINGS_API_KEYS", "TIDINGS_JWT_SECRET", "TIDINGS_JWT_PUBLIC_KEY_FILE", "TIDINGS_JWKS_URL"]
        .iter()
        .all(|name| text(values, name).is_empty())
}

impl Config {
    /// Types the values.
    pub fn from_values(values: &[Value]) -> Result<Self, ConfigError> {
        let bind: IpAddr = match text(values, "TIDINGS_BIND") {
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            "" if is_open(values) => Ipv4Addr::LOCALHOST.into(),
            "" => Ipv4Addr::UNSPECIFIED.into(),
            _ => required(values, "TIDINGS_BIND", "an IP address, like 127.0.0.1 or ::")?,
        };
        let listen_both = match text(values, "TIDINGS_BIND") {
            "localhost" => true,
            bind => bind.is_empty() && is_open(values),
        };
        let allow_open: bool = truth(values, "TIDINGS_ALLOW_OPEN")?;
        if is_open(values) && !bind.is_loopback() && !allow_open {
            return Err(ConfigError(format!(
                "TIDINGS_BIND={bind} would let anybody who reaches this machine read and send everything, since no API key \
                 is configured; set TIDINGS_ALLOW_OPEN=true if that is what you want"
            )));
        }
        let log_format = text(values, "TIDINGS_LOG_FORMAT");
        Ok(Self {
            listen: SocketAddr::new(bind, required(values, "PORT", "a port from 0 to 65535")?),
            listen_both,
            data_dir: PathBuf::from(text(values, "TIDINGS_DATA_DIR")),
            mongodb: mongodb(values)?,
            redis: redis(values)?,
            auth: auth(values)?,
            tls: tls(values)?,
            allowed_origins: origins::origins(values, is_open(values))?,
            allowed_hosts: origins::hosts(values)?,
            trusted_proxies: networks(values, "TIDINGS_TRUSTED_PROXIES")?,
            retention: days(values, "TIDINGS_RETENTION_DAYS")?,
            drain: seconds(values, "TIDINGS_DRAIN_SECONDS")?,
            handshake: seconds_from_1(values, "TIDINGS_HANDSHAKE_SECONDS")?,
            keep_alive: seconds_from_1(values, "TIDINGS_KEEP_ALIVE_SECONDS")?,
            register: seconds_from_1(values, "TIDINGS_REGISTER_SECONDS")?,
            max_body: number_from_1(values, "TIDINGS_MAX_BODY_BYTES")?,
            max_batch: number_from_1(values, "TIDINGS_MAX_BATCH_BYTES")?,
            max_packet: number_from_1(values, "TIDINGS_MAX_PACKET_BYTES")?,
            max_answers: number_from_1(values, "TIDINGS_MAX_ANSWER_BYTES")?,
            max_connections: optional(values, "TIDINGS_MAX_CONNECTIONS", WHOLE)?.unwrap_or_default(),
            max_connections_per_address: required(values, "TIDINGS_MAX_CONNECTIONS_PER_ADDRESS", WHOLE)?,
            max_sockets: required(values, "TIDINGS_MAX_SOCKETS", WHOLE)?,
            max_sockets_per_user: required(values, "TIDINGS_MAX_SOCKETS_PER_USER", WHOLE)?,
            max_sockets_per_address: required(values, "TIDINGS_MAX_SOCKETS_PER_ADDRESS", WHOLE)?,
            max_handshakes_per_second: required(values, "TIDINGS_MAX_HANDSHAKES_PER_SECOND", WHOLE)?,
            max_events_per_second: required(values, "TIDINGS_MAX_EVENTS_PER_SECOND", WHOLE)?,
            max_requests_per_second: required(values, "TIDINGS_MAX_REQUESTS_PER_SECOND", WHOLE)?,
            limit_loopback: truth(values, "TIDINGS_LIMIT_LOOPBACK")?,
            log: text(values, "TIDINGS_LOG").to_owned(),
            log_json: match log_format {
                "text" => false,
                "json" => true,
                _ => return Err(wrong(find(values, "TIDINGS_LOG_FORMAT"), "text or json")),
            },
        })
    }
}

const WHOLE: &str = "a whole number from 0";

fn find<'a>(values: &'a [Value], env: &str) -> Option<&'a Value> {
    values.iter().find(|value| value.setting.env == env)
}

fn text<'a>(values: &'a [Value], env: &str) -> &'a str {
    find(values, env).map_or("", |value| value.text.trim())
}

fn wrong(value: Option<&Value>, expected: &str) -> ConfigError {
    match value {
        Some(Value { setting, text, origin }) => {
            let shown =
                if setting.secret { "its value".to_owned() } else { format!("{:?}", setting.shown(text)) };
            ConfigError(format!("{} ({origin}): {shown} is not {expected}", setting.env))
        }
        None => ConfigError(format!("a setting is missing; it must be {expected}")),
    }
}

fn optional<T: FromStr>(values: &[Value], env: &str, expected: &str) -> Result<Option<T>, ConfigError> {
    match text(values, env) {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong(find(values, env), expected)),
    }
}

fn required<T: FromStr>(values: &[Value], env: &str, expected: &str) -> Result<T, ConfigError> {
    optional(values, env, expected)?.ok_or_else(|| wrong(find(values, env), expected))
}

fn number_from_1<T: FromStr + PartialOrd + From<u8>>(values: &[Value], env: &str) -> Result<T, ConfigError> {
    const EXPECTED: &str = "a whole number from 1";
    let number: T = required(values, env, EXPECTED)?;
    if number < T::from(1) { Err(wrong(find(values, env), EXPECTED)) } else { Ok(number) }
}

fn seconds(values: &[Value], env: &str) -> Result<Duration, ConfigError> {
    Ok(Duration::from_secs(u64::from(required::<u32>(values, env, "a whole number of seconds")?)))
}

fn seconds_from_1(values: &[Value], env: &str) -> Result<Duration, ConfigError> {
    Ok(Duration::from_secs(u64::from(number_from_1::<u32>(values, env)?)))
}

fn days(values: &[Value], env: &str) -> Result<Duration, ConfigError> {
    match number_from_1::<u32>(values, env)? {
        days @ ..=36_500 => Ok(Duration::from_secs(86_400 * u64::from(days))),
        _ => Err(wrong(find(values, env), "a number of days up to 36500")),
    }
}

fn truth(values: &[Value], env: &str) -> Result<bool, ConfigError> {
    match text(values, env) {
        "true" | "1" | "yes" => Ok(true),
        "" | "false" | "0" | "no" => Ok(false),
        _ => Err(wrong(find(values, env), "true or false")),
    }
}

fn mongodb(values: &[Value]) -> Result<Option<SecretString>, ConfigError> {
    let uri = text(values, "MONGODB_URI");
    match uri.is_empty() || uri.starts_with("mongodb://") || uri.starts_with("mongodb+srv://") {
        true => Ok(Some(uri).filter(|uri| !uri.is_empty()).map(SecretString::from)),
        false => Err(wrong(
            find(values, "MONGODB_URI"),
            "a URI like mongodb://[user:password@]host:27017/database",
        )),
    }
}

fn redis(values: &[Value]) -> Result<Option<RedisUrl>, ConfigError> {
    let url =
        optional(values, "REDIS_URL", "a URL like redis://[user:password@]host:6379, or rediss:// for TLS")?;
    if url.is_some() && text(values, "MONGODB_URI").is_empty() {
        return Err(ConfigError(
            "REDIS_URL is set without MONGODB_URI: nodes of a cluster share one store, and the embedded one serves a single \
             node; set MONGODB_URI, or unset REDIS_URL"
                .to_owned(),
        ));
    }
    Ok(url)
}

fn auth(values: &[Value]) -> Result<tidings_auth::Settings, ConfigError> {
    let set = |name| Some(text(values, name)).filter(|text| !text.is_empty()).map(str::to_owned);
    let keys = text(values, "TIDINGS_API_KEYS").split(',').map(str::trim);
    let api_keys: Vec<_> = keys.filter(|key| !key.is_empty()).map(Into::into).collect();
    // Commas alone must not be open mode on every address.
    if api_keys.is_empty() && set("TIDINGS_API_KEYS").is_some() {
        return Err(wrong(find(values, "TIDINGS_API_KEYS"), "a list that holds a key"));
    }
    // To the letter, as the issuer has it.
    let secret = find(values, "TIDINGS_JWT_SECRET").map(|value| value.text.as_str());
    Ok(tidings_auth::Settings {
        api_keys,
        jwt_secret: secret.filter(|text| !text.is_empty()).map(Into::into),
        public_key_file: set("TIDINGS_JWT_PUBLIC_KEY_FILE").map(PathBuf::from),
        jwks_url: set("TIDINGS_JWKS_URL").map(Into::into),
        audience: set("TIDINGS_JWT_AUDIENCE"),
        issuer: set("TIDINGS_JWT_ISSUER"),
    })
}

fn tls(values: &[Value]) -> Result<Option<TlsFiles>, ConfigError> {
    let (certificate, key) = (text(values, "TIDINGS_TLS_CERT_FILE"), text(values, "TIDINGS_TLS_KEY_FILE"));
    match (certificate.is_empty(), key.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(TlsFiles { certificate: certificate.into(), key: key.into() })),
        (true, false) => {
            Err(ConfigError("TIDINGS_TLS_KEY_FILE is set without TIDINGS_TLS_CERT_FILE".to_owned()))
        }
        (false, true) => {
            Err(ConfigError("TIDINGS_TLS_CERT_FILE is set without TIDINGS_TLS_KEY_FILE".to_owned()))
        }
    }
}

fn networks(values: &[Value], env: &str) -> Result<Vec<IpNet>, ConfigError> {
    let parts = text(values, env).split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| part.parse().or_else(|_| part.parse::<IpAddr>().map(IpNet::from)))
        .collect::<Result<_, _>>()
        .map_err(|_| wrong(find(values, env), "a list of addresses or networks like 10.0.0.0/8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let given: HashMap<String, String> =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::from_values(&resolve(&HashMap::new(), |name| given.get(name).cloned(), &HashMap::new()))
    }

    #[test]
    fn the_defaults_are_loopback_and_3000() {
        assert_eq!(config(&[]).unwrap().listen.to_string(), "127.0.0.1:3000");
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (name, value) in [
            ("PORT", "abc"),
            ("PORT", "70000"),
            ("TIDINGS_BIND", "localhost:1"),
            ("TIDINGS_BIND", "0.0.0.0"),
            ("TIDINGS_MAX_BODY_BYTES", "0"),
            ("TIDINGS_HANDSHAKE_SECONDS", "0"),
            ("TIDINGS_REGISTER_SECONDS", "0"),
            ("TIDINGS_RETENTION_DAYS", "0"),
            ("TIDINGS_RETENTION_DAYS", "36501"),
            ("TIDINGS_API_KEYS", ","),
            ("TIDINGS_API_KEYS", " , ,"),
            ("TIDINGS_MAX_SOCKETS", "-1"),
            ("TIDINGS_LIMIT_LOOPBACK", "maybe"),
            ("TIDINGS_LOG_FORMAT", "xml"),
            ("TIDINGS_ALLOWED_ORIGINS", "app.example.com"),
            ("MONGODB_URI", "localhost:27017/notifications"),
            ("REDIS_URL", "redis://localhost"),
            ("REDIS_URL", "localhost:6379"),
            ("TIDINGS_TLS_CERT_FILE", "cert.pem"),
            ("TIDINGS_TRUSTED_PROXIES", "10.0.0.0/64"),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert!(error.0.contains(name), "{name}: {error}");
        }
        for redis in ["redis://:hunter2@h:x", "http://:hunter2@h", "redis://:hunter2@h"] {
            assert!(!config(&[("REDIS_URL", redis)]).unwrap_err().0.contains("hunter2"), "{redis}");
        }
        assert!(!config(&[("MONGODB_URI", "http://u:hunter2@h/d")]).unwrap_err().0.contains("hunter2"));
        let config = config(&[("MONGODB_URI", "mongodb://u:hunter2@h/d")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let config = self::config(&[("TIDINGS_JWKS_URL", "https://issuer.test/keys?token=hunter2")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn with_a_key_the_server_listens_everywhere() {
        let config = config(&[("TIDINGS_API_KEYS", "0123456789abcdef0123456789abcdef")]).unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:3000");
    }

    #[test]
    fn the_open_may_be_wanted() {
        let config = config(&[("TIDINGS_BIND", "0.0.0.0"), ("TIDINGS_ALLOW_OPEN", "true")]).unwrap();
        assert!(!config.listen.ip().is_loopback());
    }
}
