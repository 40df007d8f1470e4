use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted, unless the system allows fewer (Linux: `net.core.somaxconn`, 4,096). What
/// does not fit is dropped and tried again by its client after a second, and then after more: with the usual 1,024 a
/// crowd of 5,000 that came at once made everybody else's next connection wait as long.
const WAITING: u32 = 65_535;

/// How often a free port is looked for that is free on both addresses.
const TRIES: u32 = 16;

/// An address that cannot be listened on.
pub type Failed = (SocketAddr, io::Error);

/// Listens on an address.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Failed> {
    open(address).map_err(|error| (address, error))
}

/// Listens on an address of loopback and on `::1`, since `localhost` may mean either; on the first alone where there is no
/// IPv6. Port 0 is one free port on both.
pub fn listen_both(first: SocketAddr) -> Result<Vec<TcpListener>, Failed> {
    both(first, Ipv6Addr::LOCALHOST)
}

fn both(first: SocketAddr, second: Ipv6Addr) -> Result<Vec<TcpListener>, Failed> {
    let mut tries = 0;
    loop {
        tries += 1;
        let listener = listen(first)?;
        let port = listener.local_addr().map_err(|error| (first, error))?.port();
        let other = SocketAddr::new(second.into(), port);
        match open(other) {
            Ok(also) => return Ok(vec![listener, also]),
            Err(error) if is_missing(&error) => return Ok(vec![listener]),
            // Somebody else has this port there. Another free one will do; a port that was asked for must be ours, or
            // what is meant for us would go to them.
            Err(error) if first.port() == 0 && error.kind() == ErrorKind::AddrInUse && tries < TRIES => {}
            Err(error) => return Err((other, error)),
        }
    }
}

/// Whether the machine has no such address, or no addresses of its family.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the server before may still be ending.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn both_addresses_of_loopback_get_one_port() {
        let listeners = listen_both(ANY_PORT).unwrap();
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        assert!(addresses[0].is_ipv4() && addresses.iter().all(|a| a.port() == addresses[0].port()));
        // Where there is IPv6 at all.
        if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            assert_eq!(addresses[1], SocketAddr::new(Ipv6Addr::LOCALHOST.into(), addresses[0].port()));
        }
    }

    #[tokio::test]
    async fn a_machine_without_the_second_address_listens_on_the_first() {
        // For documentation: no machine has it.
        let listeners = both(ANY_PORT, "2001:db8::1".parse().unwrap()).unwrap();
        assert_eq!(listeners.len(), 1);
    }

    #[tokio::test]
    async fn a_port_that_somebody_else_has_on_the_second_address_is_not_shared() {
        let Ok(theirs) = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
        let port = theirs.local_addr().unwrap().port();
        let (address, error) = listen_both(SocketAddr::new(ANY_PORT.ip(), port)).unwrap_err();
        assert_eq!((address, error.kind()), (theirs.local_addr().unwrap(), ErrorKind::AddrInUse));
    }
}
