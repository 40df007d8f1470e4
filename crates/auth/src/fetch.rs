use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Key sets are a few KiB.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Fetches one document from one place, with everything bounded. Redirects are not followed: whoever answers at the
/// configured address decides what keys are believed, and nobody else.
#[derive(Debug)]
pub(crate) struct Fetcher {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
}

/// Why there is no document. For the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no complete answer within {0:?}")]
    TimedOut(Duration),
    #[error("the answer was {0}; redirects are not followed")]
    Redirected(StatusCode),
    #[error("the answer was {0}")]
    Refused(StatusCode),
    #[error("the answer is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error("{0}")]
    Broken(String),
}

impl Fetcher {
    /// The error is a sentence for the operator.
    pub(crate) fn new(url: &str, timeout: Duration) -> Result<Self, String> {
        let uri = parse(url).map_err(|problem| format!("TIDINGS_JWKS_URL: {problem}."))?;
        let roots = if uri.scheme_str() == Some("https") {
            system_roots().map_err(|problem| format!("TIDINGS_JWKS_URL: {problem}."))?
        } else {
            RootCertStore::empty()
        };
        Self::with_roots(uri, roots, timeout)
    }

    fn with_roots(uri: Uri, roots: RootCertStore, timeout: Duration) -> Result<Self, String> {
        // Named here and not taken from the process: the library panics where two providers are linked in.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TIDINGS_JWKS_URL: TLS cannot be set up: {error}."))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        // A set is fetched every few minutes; a connection kept for that is only in the way.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { uri, client, timeout })
    }

    /// Where it fetches from, without the query, which may hold a secret.
    pub(crate) fn place(&self) -> String {
        let [scheme, host] = [self.uri.scheme_str(), self.uri.authority().map(|all| all.as_str())];
        format!("{}://{}{}", scheme.unwrap_or_default(), host.unwrap_or_default(), self.uri.path())
    }

    /// The document, or why there is none, within the timeout.
    pub(crate) async fn fetch(&self) -> Result<Bytes, FetchError> {
        let fetched = tokio::time::timeout(self.timeout, self.fetch_unhurried()).await;
        fetched.unwrap_or(Err(FetchError::TimedOut(self.timeout)))
    }

    async fn fetch_unhurried(&self) -> Result<Bytes, FetchError> {
        let request = Request::get(self.uri.clone())
            .header(ACCEPT, "application/json, application/jwk-set+json")
            .header(USER_AGENT, concat!("tidings/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| FetchError::Broken(chain(&error)))?;
        let response =
            self.client.request(request).await.map_err(|error| FetchError::Broken(chain(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(FetchError::Redirected(status)),
            status => return Err(FetchError::Refused(status)),
        }
        match Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
            Err(error) => Err(FetchError::Broken(chain(error.as_ref()))),
        }
    }
}

/// The error continues a sentence.
fn parse(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|_| "this is not a URL".to_owned())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the URL must begin with http:// or https://".into());
    }
    let authority = uri.authority().filter(|all| !all.host().is_empty()).ok_or("the URL names no host")?;
    if authority.as_str().contains('@') {
        return Err("the URL must not hold a user name or a password".into());
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("the URL's port is not one".into());
    }
    Ok(uri)
}

/// The machine's certificate authorities, so that an operator's own are honoured. The error continues a sentence.
fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(
            "https needs certificate authorities, and this machine has none: install ca-certificates \
                    or set SSL_CERT_FILE"
                .into(),
        );
    }
    Ok(roots)
}

/// An error with its causes; the outermost of the HTTP client alone says little.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
