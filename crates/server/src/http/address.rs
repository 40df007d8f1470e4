//! Where a request comes from, and how many of one place or key are served.

use crate::app::App;
use crate::http::problem::{Code, Problem};
use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};
use tidings_socketio::ClientAddress;
use tokio::time::{Duration, Instant};

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address, when it (or its API key) is within the rate of requests.
pub fn client(app: &App, headers: &HeaderMap, peer: IpAddr) -> Result<ClientAddress, Problem> {
    let client = network(client_address(peer.to_canonical(), headers, &app.limits.trusted_proxies));
    if app.requests.limit > 0 {
        let who = match api_key(app, headers) {
            Some(key) => Who::Key(key),
            None => Who::Address(client),
        };
        let exempt = matches!(who, Who::Address(_)) && client.is_loopback() && !app.limits.limit_loopback;
        if !exempt && !app.requests.pass(who, Instant::now()) {
            return Err(Problem::new(Code::RateLimited, "too many requests a second"));
        }
    }
    Ok(ClientAddress(client))
}

/// The nearest address that is not a trusted proxy's. What an untrusted peer says of itself is not believed. A client
/// that a proxy reports in a way that cannot be read counts as that proxy, with the limits that hold for clients.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let mut nearest = peer;
    let lines: Vec<&str> =
        headers.get_all(FORWARDED).iter().map(|value| value.to_str().unwrap_or("?")).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim);
    for hop in hops.filter(|hop| !hop.is_empty()) {
        let Some(address) = hop_address(hop) else {
            // A loopback client is exempt from limits, and who is behind a loopback proxy is not.
            return if nearest.is_loopback() { Ipv4Addr::UNSPECIFIED.into() } else { nearest };
        };
        nearest = address;
        if !is_trusted(&address) {
            break;
        }
    }
    nearest
}

/// An address as proxies write it: bare or in brackets, with or without a port, a zone or quotes.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.strip_prefix('"').and_then(|hop| hop.strip_suffix('"')).unwrap_or(hop);
    let v6 = match hop.strip_prefix('[') {
        Some(bracketed) => {
            let (inside, after) = bracketed.split_once(']')?;
            let port = after.strip_prefix(':').map(str::parse::<u16>);
            if !after.is_empty() && !matches!(port, Some(Ok(_))) {
                return None;
            }
            inside
        }
        None => hop,
    };
    let without_zone = v6.split_once('%').map_or(v6, |(address, _)| address);
    let v6 = without_zone.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let v4 = || hop.parse::<Ipv4Addr>().ok().or_else(|| Some(*hop.parse::<SocketAddrV4>().ok()?.ip()));
    v6.or_else(|| v4().map(IpAddr::V4)).map(|address| address.to_canonical())
}

/// Whoever has an IPv6 address has 2^64 of them.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) if v6.is_loopback() => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

fn api_key(app: &App, headers: &HeaderMap) -> Option<String> {
    let presented = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?.1.trim();
    app.auth.check_api_key(presented).then(|| presented.to_owned())
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Key(String),
    Address(IpAddr),
}

/// Counts requests second by second. It forgets everything each second, so it never holds more than one second's
/// requests.
pub struct Requests {
    limit: u32,
    counted: Mutex<(Option<Instant>, HashMap<Who, u32>)>,
}

impl Requests {
    /// At most `limit` a second; with 0 nobody asks.
    pub fn new(limit: u32) -> Self {
        Self { limit, counted: Mutex::default() }
    }

    fn pass(&self, who: Who, now: Instant) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (second, counts) = &mut *counted;
        if second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            *second = Some(now);
            counts.clear();
        }
        let count = counts.entry(who).or_default();
        *count = count.saturating_add(1);
        *count <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED, line.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()];
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client("203.0.113.9", &["1.2.3.4"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4, 192.0.2.1"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
    }

    #[test]
    fn an_address_is_read_as_proxies_write_it() {
        for (said, expected) in [
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
            ("\"1.2.3.4\"", "1.2.3.4"),
            ("1.2.3.4:5678", "1.2.3.4"),
            ("1.2.3.4,", "1.2.3.4"),
            ("1.2.3.4, ,", "1.2.3.4"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:443", "fe80::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(client("10.0.0.1", &[said]), expected, "{said}");
        }
    }

    #[test]
    fn who_cannot_be_read_counts_as_the_proxy_and_is_limited() {
        let trusted = ["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let client = |peer: &str, forwarded: &[u8]| {
            let headers =
                HeaderMap::from_iter([(FORWARDED, http::HeaderValue::from_bytes(forwarded).unwrap())]);
            client_address(peer.parse().unwrap(), &headers, &trusted)
        };
        for said in [
            "unknown",
            "_hidden",
            "[::1",
            "[2001:db8::1]x",
            "[2001:db8::1]:x",
            "1.2.3",
            "1.2.3.4, unknown",
            "\u{e9}",
        ] {
            let local = client("127.0.0.1", said.as_bytes());
            assert!(!local.is_loopback(), "{said}: {local}");
            assert_eq!(local, client("127.0.0.1", b"unknown"), "{said}");
            assert_eq!(client("10.0.0.1", said.as_bytes()).to_string(), "10.0.0.1", "{said}");
        }
        assert_eq!(client("10.0.0.1", b"unknown, 10.0.0.2").to_string(), "10.0.0.2");
        // Nothing was reported: a program of this machine asks the server itself.
        assert!(client("127.0.0.1", b"").is_loopback());
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::1"), "::1");
        assert_eq!(network("203.0.113.9"), "203.0.113.9");
    }

    #[test]
    fn requests_are_counted_second_by_second() {
        let (requests, start) = (Requests::new(2), Instant::now());
        let who = || Who::Address([1, 2, 3, 4].into());
        assert_eq!([0, 0, 0].map(|_| requests.pass(who(), start)), [true, true, false]);
        assert!(requests.pass(Who::Key("k".into()), start));
        assert!(requests.pass(who(), start + Duration::from_secs(1)));
    }
}
