//! Which pages may talk to the server.
//!
//! Websockets are not covered by the browser's same-origin policy, so the server has to look at `Origin` itself.

use std::net::IpAddr;

use http::{HeaderMap, header};

/// The policy for the `Origin` header. A request without one does not come from a page and is allowed.
///
/// The default allows the same origin only, that is an `Origin` whose host and port are those of `Host`. The scheme is
/// not compared: behind a proxy that ends TLS the server cannot know it.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    listed: Vec<String>,
    loopback: bool,
    any: bool,
}

impl Origins {
    /// The same origin only.
    pub fn same_origin() -> Self {
        Self::default()
    }

    /// Every origin. Only for services that hold no secrets and act on nobody's behalf.
    pub fn any() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// Any loopback origin, whatever its port. The `Host` must then be loopback too, with or without an `Origin`:
    /// otherwise a page elsewhere could reach the server by making its own name resolve to this machine.
    pub fn loopback() -> Self {
        Self { loopback: true, ..Self::default() }
    }

    /// Allows these origins as well, such as `https://app.example.org`.
    #[must_use]
    pub fn with<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let trimmed = origins.into_iter().map(|o| o.into().trim().trim_end_matches('/').to_ascii_lowercase());
        self.listed.extend(trimmed.filter(|o| !o.is_empty()));
        self
    }

    /// Whether a request with these headers may be served. Applications should ask this for their other routes too.
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        if self.any {
            return true;
        }
        let host = headers.get(header::HOST).map(|h| h.to_str().unwrap_or_default());
        if self.loopback && host.is_some_and(|h| !is_loopback(split_port(h).0)) {
            return false;
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if origins.next().is_some() {
            return false;
        }
        let origin = origin.to_ascii_lowercase();
        if self.listed.contains(&origin) {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let default_port = match scheme {
            "http" => "80",
            "https" => "443",
            _ => return false,
        };
        let (name, port) = split_port(authority);
        if self.loopback && is_loopback(name) {
            return true;
        }
        let Some(host) = host else { return false };
        let host = host.to_ascii_lowercase();
        let (host_name, host_port) = split_port(&host);
        !name.is_empty()
            && name == host_name
            && port.unwrap_or(default_port) == host_port.unwrap_or(default_port)
    }
}

/// Splits `name:port`, leaving the brackets of an IPv6 address on the name.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

fn is_loopback(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => {
            let lower = name.to_ascii_lowercase();
            lower == "localhost" || lower.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            map.insert(header::ORIGIN, origin.parse().unwrap());
        }
        map
    }

    #[test]
    fn same_origin_by_default() {
        let policy = Origins::default();
        assert!(policy.allows(&headers("a.test", None)));
        assert!(policy.allows(&headers("a.test", Some("https://a.test"))));
        assert!(policy.allows(&headers("A.test:8080", Some("http://a.TEST:8080"))));
        assert!(policy.allows(&headers("a.test:443", Some("https://a.test"))));
        assert!(!policy.allows(&headers("a.test", Some("https://b.test"))));
        assert!(!policy.allows(&headers("a.test:8080", Some("http://a.test"))));
        assert!(!policy.allows(&headers("a.test", Some("null"))));
        assert!(!policy.allows(&headers("a.test", Some("https://a.test.evil.test"))));
        assert!(!policy.allows(&headers("", Some("http://"))));
    }

    #[test]
    fn a_second_origin_header_is_refused() {
        let mut map = headers("a.test", Some("http://a.test"));
        map.append(header::ORIGIN, "http://evil.test".parse().unwrap());
        assert!(!Origins::default().allows(&map));
    }

    #[test]
    fn listed_origins_are_compared_whole() {
        let policy = Origins::same_origin().with(["https://App.test/", " "]);
        assert!(policy.allows(&headers("api.test", Some("https://app.test"))));
        assert!(!policy.allows(&headers("api.test", Some("http://app.test"))));
        assert!(!policy.allows(&headers("api.test", Some("https://app.test:444"))));
    }

    #[test]
    fn loopback_wants_a_loopback_host_even_without_an_origin() {
        let policy = Origins::loopback();
        for name in ["localhost:3000", "127.0.0.1", "[::1]:3000", "x.localhost", "127.9.9.9:1"] {
            assert!(policy.allows(&headers(name, None)), "{name}");
            assert!(policy.allows(&headers("localhost:3000", Some(&format!("http://{name}")))), "{name}");
        }
        assert!(!policy.allows(&headers("evil.test:3000", None)));
        assert!(!policy.allows(&headers("evil.test", Some("http://evil.test"))));
        assert!(!policy.allows(&headers("localhost", Some("http://evil.test"))));
        assert!(!policy.allows(&headers("localhost", Some("http://127.0.0.1.evil.test"))));
    }
}
