//! Which pages may talk to the server.
//!
//! Browsers say where a request comes from. Websockets are not covered by the browser's same-origin policy, so the server has to look at it itself.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, header};

/// Why a request is refused: what a page that may not talk to the server would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// `Host` is a name that is not this server's: somebody else's name was made to resolve to it.
    Host,
    /// `Origin` is not allowed.
    Origin,
    /// The browser says that another site caused the request, and there is no allowed `Origin`.
    CrossSite,
}

/// Which names of the server a request may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hosts {
    #[default]
    Any,
    Loopback,
    /// Loopback names and any address. An address is no name that somebody could make resolve to another machine.
    Addresses,
}

/// The policy for the headers `Origin`, `Host` and `Sec-Fetch-Site`. A request without `Origin` that no browser calls
/// cross-site does not come from a page elsewhere and is allowed.
///
/// The default allows the same origin only, that is an `Origin` whose host and port are those of `Host`. The scheme is
/// not compared: behind a proxy that ends TLS the server cannot know it. Where the browser itself says that the origins
/// differ, it is believed.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    listed: Vec<String>,
    loopback: bool,
    any: bool,
    hosts: Hosts,
    listed_hosts: Vec<String>,
}

impl Origins {
    /// The same origin only.
    pub fn same_origin() -> Self {
        Self::default()
    }

    /// Every origin. Only for services that hold no secrets and act on nobody's behalf, or whose clients prove with
    /// every request who they are, by something that a browser does not add by itself.
    pub fn any() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// Any loopback origin, whatever its port. The `Host` must then be loopback too, with or without an `Origin`:
    /// otherwise a page elsewhere could reach the server by making its own name resolve to this machine.
    pub fn loopback() -> Self {
        Self { loopback: true, hosts: Hosts::Loopback, ..Self::default() }
    }

    /// As [`Origins::loopback`] for a server that other machines reach by its address: the `Host` may be any address
    /// literal too.
    pub fn addresses() -> Self {
        Self { hosts: Hosts::Addresses, ..Self::loopback() }
    }

    /// Allows these origins as well, such as `https://app.example.org` or `capacitor://localhost`, whatever their
    /// scheme. `null` is the origin of sandboxed pages and files; `*` is every origin.
    #[must_use]
    pub fn with<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let all = origins.into_iter().map(|origin| as_sent(&origin.into()));
        for origin in all.filter(|origin| !origin.is_empty()) {
            if origin == "*" {
                self.any = true;
            } else {
                self.listed.push(origin);
            }
        }
        self
    }

    /// Allows these names in `Host` as well, where not every name is allowed.
    #[must_use]
    pub fn with_hosts<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.listed_hosts.extend(names.into_iter().map(|name| name.into().to_ascii_lowercase()));
        self
    }

    /// Whether a request with these headers may be served. Applications should ask this for their other routes too.
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        self.check(headers).is_ok()
    }

    /// As [`Origins::allows`], with the reason.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Foreign> {
        self.check_public(headers)?;
        if self.any || headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        let host = host(headers).unwrap_or_default();
        // What is of the same site as a loopback name is on this machine.
        let same_site = self.loopback && is_loopback(split_port(host).0);
        match fetch_site(headers) {
            Some(Site::Cross) => Err(Foreign::CrossSite),
            Some(Site::Same) if !same_site => Err(Foreign::CrossSite),
            _ => Ok(()),
        }
    }

    /// For what anybody may see and what changes nothing, such as a page or a script: any site may link to it and embed
    /// it. A request that has an `Origin` is still judged by that.
    pub fn check_public(&self, headers: &HeaderMap) -> Result<(), Foreign> {
        let host = host(headers);
        let is_one = headers.get_all(header::HOST).iter().nth(1).is_none();
        if !is_one || host.is_some_and(|host| !self.allows_host(split_port(host).0)) {
            return Err(Foreign::Host);
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let is_allowed = origins.next().is_none()
            && origin.to_str().is_ok_and(|origin| self.any || self.allows_origin(origin, host, headers));
        if is_allowed { Ok(()) } else { Err(Foreign::Origin) }
    }

    fn allows_host(&self, name: &str) -> bool {
        let of_policy = match self.hosts {
            Hosts::Any => true,
            Hosts::Loopback => is_loopback(name),
            Hosts::Addresses => is_loopback(name) || address(name).is_some(),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        of_policy || self.listed_hosts.iter().any(|listed| listed.eq_ignore_ascii_case(name))
    }

    fn allows_origin(&self, origin: &str, host: Option<&str>, headers: &HeaderMap) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self.listed.contains(&origin) {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let Some(default_port) = default_port(scheme) else { return false };
        let (name, port) = split_port(authority);
        if self.loopback && is_loopback(name) {
            return true;
        }
        // The browser compares schemes too.
        if matches!(fetch_site(headers), Some(Site::Cross | Site::Same)) {
            return false;
        }
        let Some(host) = host else { return false };
        let host = host.to_ascii_lowercase();
        let (host_name, host_port) = split_port(&host);
        !name.is_empty()
            && name == host_name
            && port.unwrap_or(default_port) == host_port.unwrap_or(default_port)
    }
}

/// What a browser says of who caused a request, when that is not the same origin or the person.
enum Site {
    Same,
    Cross,
}

fn fetch_site(headers: &HeaderMap) -> Option<Site> {
    let said = headers.get_all("sec-fetch-site");
    if said.iter().any(|value| value == "cross-site") {
        Some(Site::Cross)
    } else {
        said.iter().any(|value| value == "same-site").then_some(Site::Same)
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default())
}

/// An origin as a browser sends it: in lower case, without a path and without the port that its scheme has anyway.
fn as_sent(origin: &str) -> String {
    let origin = origin.trim().to_ascii_lowercase();
    let origin = origin.strip_suffix('/').filter(|rest| !rest.ends_with('/')).unwrap_or(&origin);
    let of_scheme = origin.split_once("://").and_then(|(scheme, _)| default_port(scheme));
    let bare = of_scheme.and_then(|port| origin.strip_suffix(port)?.strip_suffix(':'));
    bare.unwrap_or(origin).to_owned()
}

fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    }
}

/// Splits `name:port`, leaving the brackets of an IPv6 address on the name.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

fn address(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse().ok(),
    }
}

fn is_loopback(name: &str) -> bool {
    match address(name) {
        Some(address) => address.to_canonical().is_loopback(),
        None => {
            let lower = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
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

    fn with(host: &str, pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = headers(host, None);
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn origins_of_app_shells_are_allowed_literally() {
        for origin in [
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "app://.",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "safari-web-extension://0A1B2C3D-0000-4000-8000-ABCDEFABCDEF",
            "file://",
            "null",
            "https://app.test:8443",
        ] {
            let request = headers("api.test", Some(origin));
            assert!(Origins::same_origin().with([origin]).allows(&request), "{origin}");
            assert!(!Origins::same_origin().with(["app://other"]).allows(&request), "{origin}");
            assert!(!Origins::loopback().allows(&headers("localhost", Some(origin))), "{origin}");
        }
    }

    #[test]
    fn an_origin_is_listed_with_or_without_what_browsers_leave_out() {
        for (listed, sent) in [
            ("https://app.test:443", "https://app.test"),
            ("http://app.test:80/", "http://app.test"),
            ("http://app.test:8080", "http://app.test:8080"),
            ("HTTPS://App.Test", "https://app.test"),
            ("https://app.test:80", "https://app.test:80"),
        ] {
            assert!(Origins::same_origin().with([listed]).allows(&headers("x", Some(sent))), "{listed}");
        }
    }

    #[test]
    fn every_origin_may_be_allowed() {
        let policy = Origins::same_origin().with(["*"]);
        for origin in ["https://a.test", "null", "capacitor://localhost"] {
            assert!(policy.allows(&headers("api.test", Some(origin))), "{origin}");
        }
        assert!(policy.allows(&with("api.test", &[("sec-fetch-site", "cross-site")])));
    }

    #[test]
    fn beyond_loopback_a_name_of_somebody_else_is_refused() {
        let policy = Origins::addresses().with_hosts(["Tidings.Lan"]);
        for host in
            ["192.0.2.7:3000", "[2001:db8::7]:3000", "localhost:3000", "tidings.lan", "TIDINGS.LAN.:3000"]
        {
            assert_eq!(policy.check(&headers(host, None)), Ok(()), "{host}");
        }
        for host in ["rebind.evil.test:3000", "tidings.lan.evil.test", "192.0.2.7.evil.test", "2001:db8::7"] {
            assert_eq!(policy.check(&headers(host, None)), Err(Foreign::Host), "{host}");
            let own = headers(host, Some(&format!("http://{host}")));
            assert_eq!(policy.check(&own), Err(Foreign::Host), "{host}");
        }
        assert!(policy.allows(&headers("192.0.2.7:3000", Some("http://192.0.2.7:3000"))));
        assert!(policy.allows(&headers("192.0.2.7:3000", Some("http://localhost:5173"))));
        assert!(!policy.allows(&headers("192.0.2.7:3000", Some("http://192.0.2.8:3000"))));
        assert!(Origins::loopback().with_hosts(["tidings.test"]).allows(&headers("tidings.test:3000", None)));
    }

    #[test]
    fn what_a_browser_calls_cross_site_is_refused_without_an_allowed_origin() {
        let (site, origin) = ("sec-fetch-site", "origin");
        let listed = Origins::same_origin().with(["https://app.test"]);
        for (policy, request, expected) in [
            (&listed, with("api.test", &[(site, "cross-site")]), Err(Foreign::CrossSite)),
            (&listed, with("api.test", &[(site, "same-site")]), Err(Foreign::CrossSite)),
            (&listed, with("api.test", &[(site, "same-origin")]), Ok(())),
            (&listed, with("api.test", &[(site, "none")]), Ok(())),
            (&listed, with("api.test", &[(site, "cross-site"), (origin, "https://app.test")]), Ok(())),
            (
                &listed,
                with("api.test", &[(site, "cross-site"), (origin, "http://api.test")]),
                Err(Foreign::Origin),
            ),
            (&listed, with("api.test", &[(site, "none"), (site, "cross-site")]), Err(Foreign::CrossSite)),
            (&Origins::loopback(), with("localhost:1", &[(site, "cross-site")]), Err(Foreign::CrossSite)),
            (&Origins::loopback(), with("localhost:1", &[(site, "same-site")]), Ok(())),
            (&Origins::addresses(), with("192.0.2.7", &[(site, "same-site")]), Err(Foreign::CrossSite)),
        ] {
            assert_eq!(policy.check(&request), expected, "{request:?}");
        }
        let embedded = with("api.test", &[(site, "cross-site")]);
        assert_eq!(listed.check_public(&embedded), Ok(()));
        assert_eq!(Origins::loopback().check_public(&embedded), Err(Foreign::Host));
    }
}
