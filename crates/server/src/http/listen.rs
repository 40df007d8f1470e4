use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted, unless the system allows fewer (Linux: `net.core.somaxconn`, 4,096). What
/// does not fit is dropped and tried again by its client after a second, and then after more: with the usual 1,024 a
/// crowd of 5,000 that came at once made everybody else's next connection wait as long.
const WAITING: u32 = 65_535;

/// Listens on an address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the server before may still be ending.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}
