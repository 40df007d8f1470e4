//! `tidings healthcheck`.

use crate::config::Config;
use crate::tls::{Tls, TlsError};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio_rustls::rustls::StreamOwned;

/// How long the whole of it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Enough for the first line of an answer.
const LINE_BYTES: usize = 256;

const REQUEST: &[u8] = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Why the server is not known to be ready; one sentence for the operator.
#[derive(Debug, Error)]
pub enum Unhealthy {
    /// The certificate cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody answered, or not as this server does.
    #[error("no answer: {0}")]
    Silent(#[from] io::Error),
    /// It answered something else.
    #[error("not ready: {0}")]
    NotReady(String),
}

/// Asks the server with these settings whether it is ready; over TLS where the server speaks that. The server must show the
/// certificate of the settings: whose name it is for, and who has signed it, does not matter.
pub fn healthcheck(config: &Config) -> Result<(), Unhealthy> {
    let client = config.tls.as_ref().map(Tls::client_of).transpose()?;
    let until = Instant::now() + PATIENCE;
    let mut address = config.listen;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    // Another handle of the same socket, to set its time limits while TLS holds the first one.
    let limits = socket.try_clone()?;
    let line = match client {
        None => first_line(socket, &limits, until)?,
        Some(client) => {
            let connection = client.connect(address.ip())?;
            first_line(StreamOwned::new(connection, socket), &limits, until)?
        }
    };
    if line.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(Unhealthy::NotReady(line)) }
}

fn first_line(mut stream: impl Read + Write, limits: &TcpStream, until: Instant) -> io::Result<String> {
    let limit = || {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time"));
        }
        limits.set_read_timeout(Some(left))?;
        limits.set_write_timeout(Some(left))
    };
    limit()?;
    stream.write_all(REQUEST)?;
    stream.flush()?;
    let mut answer = Vec::new();
    while answer.len() < LINE_BYTES && !answer.contains(&b'\n') {
        limit()?;
        let mut part = [0; LINE_BYTES];
        match stream.read(&mut part)? {
            0 => break,
            read => answer.extend_from_slice(&part[..read]),
        }
    }
    let line = answer.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    match line.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
        false => Ok(String::from_utf8_lossy(line).into_owned()),
    }
}
