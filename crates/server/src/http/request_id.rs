//! A name for every request: in its answer, in its problem, and in every line of the log that is written for it. Not a
//! span: a span costs every request its creation, and this one only the requests for which something is logged.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// The header that brings and returns it.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of one request.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's own, if it is 1..64 of `[A-Za-z0-9._-]`, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(X_REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if is_legal(id.as_bytes()) => Self(id.clone()),
            _ => Self::new(),
        }
    }

    /// One that no other request has: what is random is the process's, so that a request costs no system call.
    pub fn new() -> Self {
        static PROCESS: OnceLock<String> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let process = PROCESS.get_or_init(|| Uuid::new_v4().simple().to_string()[..16].to_owned());
        let id = format!("{process}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self(HeaderValue::from_maybe_shared(id.into_bytes()).unwrap_or(HeaderValue::from_static("-")))
    }

    /// As a header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("-")
    }

    /// Does `work` for this request.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// That of the request for which this task works now.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }
}

fn is_legal(id: &[u8]) -> bool {
    (1..=64).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[&str]) -> String {
        let headers = given.iter().map(|id| (X_REQUEST_ID, id.parse().unwrap())).collect();
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn the_callers_own_id_is_taken() {
        let long = "x".repeat(64);
        for id in ["1", "a.B_c-9", &long] {
            assert_eq!(of(&[id]), id);
        }
    }

    #[test]
    fn anything_else_gets_a_new_one() {
        let long = "x".repeat(65);
        let mut seen = std::collections::HashSet::new();
        for given in [&[][..], &[""], &["a b"], &["a\"b"], &["a/b"], &[&long], &["one", "two"]] {
            let id = of(given);
            assert!(is_legal(id.as_bytes()) && !given.contains(&id.as_str()), "{given:?}: {id}");
            assert!(seen.insert(id), "{given:?}");
        }
    }
}
