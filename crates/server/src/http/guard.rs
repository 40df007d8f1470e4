//! What every request passes before its route: where it comes from, and what its answer says to browsers. Plain functions
//! around the router and not layers of it: a layer costs every request a copy of the router and an allocation, measured
//! at up to 17 % of a send's CPU for three of them.

use crate::http::address::client;
use crate::http::answers::{Held, Reserved};
use crate::http::original_path;
use crate::http::problem::{Code, Problem};
use crate::http::request_id::X_REQUEST_ID;
use crate::http::{RequestId, Site};
use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header};
use std::convert::Infallible;
use std::net::IpAddr;
use tidings_socketio::Foreign;
use tower::ServiceExt;

/// Serves one request of `peer`: refuses what a page elsewhere sends and what is too much, answers preflights, and lets the
/// rest through to its route. Beside the answer what it holds until it is written.
pub async fn guarded(
    site: &Site,
    request: Request<Body>,
    peer: IpAddr,
) -> Result<(Response, Option<Held>), Infallible> {
    let id = RequestId::of(request.headers());
    let name = id.header();
    let (mut response, held) = id.scope(answered(site, request, peer)).await?;
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, name);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Only what says so itself may be kept by a cache: the page and its files.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if site.tls.is_some() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    Ok((response, held))
}

async fn answered(
    site: &Site,
    mut request: Request<Body>,
    peer: IpAddr,
) -> Result<(Response, Option<Held>), Infallible> {
    if let Err(problem) = check(site, &mut request) {
        return Ok((problem.into_response(), None));
    }
    let cors = Cors::of(&request);
    let (mut response, held) = if matches!(cors, Some(Cors::Preflight { .. })) {
        (StatusCode::NO_CONTENT.into_response(), None)
    } else {
        routed(site, request, peer).await?
    };
    if let Some(cors) = cors {
        cors.write(response.headers_mut());
    }
    Ok((response, held))
}

async fn routed(
    site: &Site,
    mut request: Request<Body>,
    peer: IpAddr,
) -> Result<(Response, Option<Held>), Infallible> {
    match client(&site.app, request.headers(), peer) {
        Ok(address) => request.extensions_mut().insert(address),
        Err(problem) => return Ok((problem.into_response(), None)),
    };
    original_path::normalize(&mut request);
    let changes_nothing = request.method().is_safe();
    let is_counted = ["/v1/", "/api/"].iter().any(|prefix| {
        request.uri().path().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    });
    let mut response = site.router.clone().oneshot(request).await?;
    if !is_counted {
        return Ok((response, None));
    }
    let reserved = response.extensions_mut().remove::<Reserved>();
    let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
    Ok(match site.app.answers.settle(reserved, size.unwrap_or_default(), changes_nothing) {
        Ok(held) => (response, held),
        Err(problem) => (problem.into_response(), None),
    })
}

/// What must hold of every request, before its route is even looked for.
fn check(site: &Site, request: &mut Request<Body>) -> Result<(), Problem> {
    // A request for a whole URL, as proxies write it: its host counts, and `Host` must be ignored (RFC 9112, 3.2.2).
    let whole =
        request.uri().authority().and_then(|authority| authority.as_str().parse::<HeaderValue>().ok());
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() >= Version::HTTP_11) {
        return Err(Problem::new(Code::InvalidRequest, "a request must have one Host header"));
    }
    if let Some(host) = whole {
        request.headers_mut().insert(header::HOST, host);
    }
    let origins = &site.app.origins;
    let checked = if is_public(request) {
        origins.check_public(request.headers())
    } else {
        origins.check(request.headers())
    };
    checked.map_err(|foreign| {
        let detail = match foreign {
            Foreign::Host => "this Host is not one of the server's names; see TIDINGS_ALLOWED_HOSTS",
            Foreign::Origin => "this Origin is not allowed here; see TIDINGS_ALLOWED_ORIGINS",
            Foreign::CrossSite => "another site caused this request, and its Origin is not given",
        };
        Problem::new(Code::Forbidden, detail)
    })
}

/// What other sites may link to and embed, because it is the same for everybody and changes nothing: the page, when
/// somebody goes to it, and the files of the official client, which pages of other origins load by a script tag.
fn is_public(request: &Request<Body>) -> bool {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return false;
    }
    match request.uri().path() {
        "/" => {
            let says =
                |name: &str, value: &str| request.headers().get(name).is_some_and(|said| said == value);
            says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document")
        }
        path => path.strip_prefix("/socket.io/").is_some_and(|file| !file.is_empty()),
    }
}

/// What the answer says to the page of an allowed origin.
enum Cors {
    Preflight {
        origin: HeaderValue,
        /// The names of the headers that the page wants to send.
        asked: Vec<HeaderValue>,
    },
    Answer {
        origin: HeaderValue,
    },
}

impl Cors {
    fn of(request: &Request<Body>) -> Option<Self> {
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN)?.clone();
        if request.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            let asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
            let asked = asked.filter(|names| names.to_str().is_ok()).cloned().collect();
            return Some(Self::Preflight { origin, asked });
        }
        Some(Self::Answer { origin })
    }

    fn write(self, headers: &mut HeaderMap) {
        let (origin, fixed) = match self {
            Self::Preflight { origin, asked } => {
                headers.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
                // Whatever it is: no header gives a page of an allowed origin more than it may do anyway.
                for names in asked {
                    headers.append(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
                }
                (origin, PREFLIGHT)
            }
            Self::Answer { origin } => (origin, ANSWER),
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        // Official clients ask for it (`withCredentials`); no cookie is ever set or read.
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        for (name, value) in fixed {
            headers.insert(name.clone(), HeaderValue::from_static(value));
        }
    }
}

const PREFLIGHT: &[(HeaderName, &str)] = &[
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE"),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

const ANSWER: &[(HeaderName, &str)] =
    &[(header::ACCESS_CONTROL_EXPOSE_HEADERS, "link, idempotency-replayed, retry-after, x-request-id")];
