use crate::disk;
use crate::error::BenchError;
use crate::options::Server;
use crate::process::Usage;
use crate::spawned::Spawned;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// How to reach the server.
#[derive(Debug)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// The `authorization` header, when the server wants one.
    pub api_key: Option<String>,
}

/// The server under test.
pub struct Target {
    endpoint: Rc<Endpoint>,
    pid: Option<u32>,
    folder: Option<PathBuf>,
    // Held for its Drop, which ends the server.
    _spawned: Option<Spawned>,
}

impl Target {
    /// Starts the server, or takes the one that is named.
    pub fn open(server: &Server) -> Result<Self, BenchError> {
        let api_key = server.api_key.clone();
        let Some(binary) = &server.spawn else {
            let endpoint = Endpoint { address: address(&server.url)?, api_key };
            let folder = server.data_dir.clone();
            return Ok(Self { endpoint: Rc::new(endpoint), pid: server.pid, folder, _spawned: None });
        };
        let parent = server.data_dir.clone().unwrap_or_else(std::env::temp_dir);
        let spawned = Spawned::start(binary, &parent)?;
        eprintln!("started {} (process {}) at {}", binary.display(), spawned.pid(), spawned.address());
        Ok(Self {
            endpoint: Rc::new(Endpoint { address: spawned.address().to_owned(), api_key }),
            pid: Some(spawned.pid()),
            folder: Some(spawned.folder().to_owned()),
            _spawned: Some(spawned),
        })
    }

    /// How to reach it.
    pub fn endpoint(&self) -> &Rc<Endpoint> {
        &self.endpoint
    }

    /// What it has used so far, if its process is known.
    pub fn usage(&self) -> Result<Option<Usage>, BenchError> {
        let read = |pid| Usage::of(pid).map_err(|source| BenchError::Process { pid, source });
        self.pid.map(read).transpose()
    }

    /// How long its disk takes for an fsync, if its folder is known.
    pub fn fsync_time(&self) -> Result<Option<Duration>, BenchError> {
        let measure = |path: &PathBuf| {
            disk::fsync_time(path).map_err(|source| BenchError::Folder { path: path.clone(), source })
        };
        self.folder.as_ref().map(measure).transpose()
    }
}

fn address(url: &str) -> Result<String, BenchError> {
    let wrong = |reason: String| BenchError::Url { url: url.to_owned(), reason };
    let uri: http::Uri = url.parse().map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
    if uri.scheme_str() != Some("http") {
        return Err(wrong("only plain http is spoken".to_owned()));
    }
    if !matches!(uri.path(), "" | "/") {
        return Err(wrong("it must not have a path".to_owned()));
    }
    let host = uri.host().ok_or_else(|| wrong("it has no host".to_owned()))?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        assert_eq!(address("http://127.0.0.1:3000").unwrap(), "127.0.0.1:3000");
        assert_eq!(address("http://[::1]:3000/").unwrap(), "[::1]:3000");
        assert_eq!(address("http://localhost").unwrap(), "localhost:80");
        for url in ["", "localhost:3000", "https://localhost", "http://localhost/x", "http://"] {
            assert!(address(url).is_err(), "{url}");
        }
    }
}
