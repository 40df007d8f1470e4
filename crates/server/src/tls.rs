//! TLS by the server itself.

use crate::config::TlsFiles;
use crate::tls_client::TlsClient;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate or key that cannot be used; one sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// The certificate in use; [`Tls::reload`] replaces it for the connections to come.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = RwLock::new(read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again. On an error the certificate before stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What talks to the server that shows the certificate of these files.
    pub fn client_of(files: &TlsFiles) -> Result<TlsClient, TlsError> {
        let certificate = chain(files)?.swap_remove(0);
        TlsClient::of(certificate).map_err(|error| TlsError(format!("TLS cannot be used: {error}")))
    }

    /// For one connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

/// The certificates of the file: at least one, the server's own first.
fn chain(files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unusable("TIDINGS_TLS_CERT_FILE", &files.certificate, &error.to_string()))?;
    if chain.is_empty() {
        return Err(unusable("TIDINGS_TLS_CERT_FILE", &files.certificate, "it holds no certificate"));
    }
    Ok(chain)
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = chain(files)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable("TIDINGS_TLS_KEY_FILE", &files.key, &error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(format!("TLS cannot be used: {error}")))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| TlsError(format!("the certificate and its key cannot be used: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A connection keeps its buffers: no more than it needs for a TLS record.
    config.max_fragment_size = None;
    Ok(Arc::new(config))
}

fn unusable(name: &str, path: &Path, why: &str) -> TlsError {
    TlsError(format!("{name}: {} cannot be used: {why}", path.display()))
}
