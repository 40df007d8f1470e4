//! Every setting, once: its name, its default, and what it is for. The flags, the help, `tidings config` and the table in
//! `docs/configuration.md` are made from this list.

use std::borrow::Cow;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable.
    pub env: &'static str,
    /// What holds when nothing is set; empty: unset.
    pub default: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// Never shown.
    pub secret: bool,
    /// An address whose login and query may hold a secret: only its scheme, host and path are shown.
    pub is_url: bool,
}

impl Setting {
    /// What may be shown of a value of this setting.
    pub fn shown<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match (self.secret, self.is_url) {
            _ if text.is_empty() => Cow::Borrowed(""),
            (true, _) => Cow::Borrowed("(hidden)"),
            (false, true) => Cow::Owned(place(text)),
            (false, false) => Cow::Borrowed(text),
        }
    }

    /// The flag: `--data-dir` for `TIDINGS_DATA_DIR`.
    pub fn flag(&self) -> String {
        self.env.trim_start_matches("TIDINGS_").to_ascii_lowercase().replace('_', "-")
    }
}

const fn setting(env: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { env, default, help, secret: false, is_url: false }
}

const fn secret(env: &'static str, help: &'static str) -> Setting {
    Setting { env, default: "", help, secret: true, is_url: false }
}

const fn url(env: &'static str, help: &'static str) -> Setting {
    Setting { env, default: "", help, secret: false, is_url: true }
}

/// The scheme, host and path of an address, whether it is a good one or not.
fn place(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{host}{path}")
}

/// All settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    setting("PORT", "3000", "The port to listen on; 0 takes a free one"),
    setting(
        "TIDINGS_BIND",
        "",
        "The address to listen on; unset: 127.0.0.1 and ::1 in open mode, else 0.0.0.0",
    ),
    secret("MONGODB_URI", "MongoDB as the store; unset: the embedded one"),
    setting("TIDINGS_DATA_DIR", "./data", "The embedded store's folder"),
    secret("REDIS_URL", "Redis, to run several nodes as one; needs MONGODB_URI"),
    secret("TIDINGS_API_KEYS", "Keys that may do everything, comma-separated"),
    secret("TIDINGS_JWT_SECRET", "The secret of HS256 user tokens"),
    setting("TIDINGS_JWT_PUBLIC_KEY_FILE", "", "The public key of user tokens"),
    url("TIDINGS_JWKS_URL", "Where the public keys of user tokens are published"),
    setting("TIDINGS_JWT_AUDIENCE", "", "The audience a user token must name"),
    setting("TIDINGS_JWT_ISSUER", "", "The issuer a user token must name"),
    setting(
        "TIDINGS_ALLOWED_ORIGINS",
        "",
        "Origins of browser requests beside the server's own, of any scheme, comma-separated; with keys also null and *",
    ),
    setting(
        "TIDINGS_ALLOWED_HOSTS",
        "",
        "Names of this server beside localhost and addresses, comma-separated; in open mode any other is refused",
    ),
    setting("TIDINGS_ALLOW_OPEN", "false", "Listen beyond loopback although anybody may do anything"),
    setting("TIDINGS_RETENTION_DAYS", "90", "How long notifications are kept, in days"),
    setting("TIDINGS_DRAIN_SECONDS", "10", "How long SIGTERM may take, in seconds"),
    setting(
        "TIDINGS_HANDSHAKE_SECONDS",
        "10",
        "To send a request's headers and to finish a handshake, in seconds",
    ),
    setting("TIDINGS_KEEP_ALIVE_SECONDS", "75", "How long an idle HTTP connection is kept, in seconds"),
    setting("TIDINGS_REGISTER_SECONDS", "60", "To register a connected socket, in seconds"),
    setting("TIDINGS_MAX_BODY_BYTES", "262144", "One request"),
    setting("TIDINGS_MAX_BATCH_BYTES", "4194304", "One batch"),
    setting("TIDINGS_MAX_PACKET_BYTES", "65536", "One message or polling body on a socket"),
    setting("TIDINGS_MAX_ANSWER_BYTES", "67108864", "Answers that are being written, all together"),
    setting(
        "TIDINGS_MAX_CONNECTIONS",
        "",
        "TCP connections in all; unset or 0: as many as the process has file descriptors for",
    ),
    setting("TIDINGS_MAX_CONNECTIONS_PER_ADDRESS", "0", "TCP connections of one address; 0: no limit"),
    setting("TIDINGS_MAX_SOCKETS", "100000", "Sockets in all; 0: no limit"),
    setting("TIDINGS_MAX_SOCKETS_PER_USER", "100", "Sockets of one user; 0: no limit"),
    setting("TIDINGS_MAX_SOCKETS_PER_ADDRESS", "1000", "Sockets of one address; 0: no limit"),
    setting("TIDINGS_MAX_HANDSHAKES_PER_SECOND", "0", "New sockets a second in all; 0: no limit"),
    setting("TIDINGS_MAX_EVENTS_PER_SECOND", "100", "Events a second from one socket; 0: no limit"),
    setting("TIDINGS_MAX_REQUESTS_PER_SECOND", "0", "Requests a second from one key or address; 0: no limit"),
    setting(
        "TIDINGS_TRUSTED_PROXIES",
        "",
        "Addresses or networks whose X-Forwarded-For counts, comma-separated",
    ),
    setting("TIDINGS_LIMIT_LOOPBACK", "false", "Whether limits by address also hold for loopback"),
    setting("TIDINGS_TLS_CERT_FILE", "", "The certificate, for TLS by the server itself"),
    setting("TIDINGS_TLS_KEY_FILE", "", "The certificate's key"),
    setting("TIDINGS_LOG", "info", "What is logged: error, warn, info, debug, trace, or a filter by target"),
    setting("TIDINGS_LOG_FORMAT", "text", "text or json"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_place_is_shown() {
        let setting = SETTINGS.iter().find(|setting| setting.env == "TIDINGS_JWKS_URL").unwrap();
        for (text, shown) in [
            ("https://issuer.test:81/keys?token=hunter2", "https://issuer.test:81/keys"),
            ("https://ana:hunter2@issuer.test/keys#hunter2", "https://issuer.test/keys"),
            ("https://ana:hun@ter2@issuer.test?hunter2", "https://issuer.test"),
            ("issuer.test/keys?hunter2", "issuer.test/keys"),
            ("", ""),
        ] {
            assert_eq!(setting.shown(text), shown);
        }
    }
}
