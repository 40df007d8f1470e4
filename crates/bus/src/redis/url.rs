use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Where Redis is: `redis://[user[:password]@]host[:port][,host[:port]…][/database]`, `rediss://` for TLS. Several hosts are
/// nodes of one Redis Cluster; one that answers is enough to find the others. Never shows a password.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) seeds: Vec<ConnectionInfo>,
}

/// A text that is no such URL. Does not repeat it: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a URL like redis://[user:password@]host:6379 (rediss:// for TLS)")]
pub struct RedisUrlError;

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(RedisUrlError)?;
        // A fragment could only switch off the check of certificates.
        if !matches!(scheme, "redis" | "rediss" | "valkey" | "valkeys") || rest.contains('#') {
            return Err(RedisUrlError);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let seeds = hosts.split(',').map(|host| {
            let info = format!("{scheme}://{login}{host}{path}").into_connection_info();
            let info = info.ok().filter(|_| !host.is_empty()).ok_or(RedisUrlError)?;
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            Ok(info.set_redis_settings(settings))
        });
        seeds.collect::<Result<_, _>>().map(|seeds| Self { seeds })
    }
}

impl RedisUrl {
    /// Whether the connections are encrypted.
    pub(super) fn is_tls(&self) -> bool {
        self.seeds.iter().any(|seed| matches!(seed.addr(), ConnectionAddr::TcpTls { .. }))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, seed) in self.seeds.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { "," }, seed.addr())?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// The node of the same cluster at another place: same login, same kind of connection.
pub(super) fn beside(seed: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let addr = match seed.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    seed.clone().set_addr(addr)
}

/// Where it is, without its port.
pub(super) fn host(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_and_passwords_are_not_shown() {
        let url: RedisUrl = "redis://ana:p%40ss,word@a:1,b,[::1]:3/0".parse().unwrap();
        assert_eq!(url.seeds.len(), 3);
        assert!(url.seeds.iter().all(|seed| seed.redis_settings().password() == Some("p@ss,word")
            && seed.redis_settings().username() == Some("ana")));
        for shown in [url.to_string(), format!("{url:?}")] {
            assert!(shown.contains("a:1") && shown.contains("b:6379"), "{shown}");
            assert!(!shown.contains("word"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for text in [
            "",
            "localhost:6379",
            "http://localhost",
            "unix:///run/redis.sock",
            "redis://",
            "redis://:hunter2@",
            "redis://:hunter2@a:port",
            "redis://:hunter2@a:1,,b",
            "redis://:hunter2@a/db",
            "rediss://:hunter2@a/#insecure",
        ] {
            let error = text.parse::<RedisUrl>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{text}");
        }
    }
}
