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

    /// Whether the network could change the document.
    pub(crate) fn is_plain(&self) -> bool {
        self.uri.scheme_str() != Some("https")
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::path::PathBuf;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    fn tls_file(name: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests", "keys", "tls", name].iter().collect()
    }

    /// A server whose certificate is for `localhost` and 127.0.0.1; its port.
    async fn tls_server() -> u16 {
        let certificate = CertificateDer::from_pem_file(tls_file("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(tls_file("server.private.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let Ok(mut connection) = acceptor.accept(connection).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    connection.read_buf(&mut request).await.unwrap();
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                connection.write_all(answer).await.unwrap();
                connection.flush().await.unwrap();
            }
        });
        port
    }

    async fn fetch_from(url: &str, roots: RootCertStore) -> Result<Bytes, FetchError> {
        Fetcher::with_roots(url.parse().unwrap(), roots, Duration::from_secs(30)).unwrap().fetch().await
    }

    fn trusting() -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(tls_file("authority.pem")).unwrap()).unwrap();
        roots
    }

    #[tokio::test]
    async fn https_from_whom_a_known_authority_has_certified() {
        let url = format!("https://127.0.0.1:{}/keys", tls_server().await);
        assert_eq!(fetch_from(&url, trusting()).await.unwrap(), "{}");
    }

    #[tokio::test]
    async fn https_from_nobody_else() {
        let port = tls_server().await;
        let unknown = fetch_from(&format!("https://127.0.0.1:{port}/keys"), RootCertStore::empty()).await;
        let unknown = unknown.unwrap_err().to_string();
        assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_refused() {
        let port = tls_server().await;
        // Resolves to the same server, which is not certified for it.
        let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let other = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
        let error = fetch_from(&format!("https://127.0.0.3:{other}/keys"), trusting()).await.unwrap_err();
        assert!(
            error.to_string().contains("NotValidForName") || error.to_string().contains("not valid for name"),
            "{error}"
        );
    }

    #[test]
    fn the_place_hides_the_query() {
        let fetcher = Fetcher::new("http://issuer.test:81/keys?token=abc", Duration::from_secs(1)).unwrap();
        assert_eq!(fetcher.place(), "http://issuer.test:81/keys");
    }
}
