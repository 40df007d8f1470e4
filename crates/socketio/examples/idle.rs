//! What an idle connection costs. `idle COUNT` starts a server with a trivial handler as a process of its own, opens
//! COUNT websockets on it and prints how much its resident memory grew for each, once quiet and again after a round of
//! pings. Linux only. Mind `ulimit -n`.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use tidings_socketio::{Config, Socket, SocketIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    match std::env::args().nth(1).ok_or("usage: idle COUNT")?.as_str() {
        "serve" => serve(),
        count => measure(count.parse()?),
    }
}

/// Accepts every socket and waits for its end.
#[tokio::main]
async fn serve() -> Fallible<()> {
    let config = Config { ping_interval: Duration::from_secs(8), limit_loopback: false, ..Config::default() };
    let io = SocketIo::new(config, |mut socket: Socket, _connect| async move {
        if socket.accept(None).is_ok() {
            while socket.recv().await.is_some() {}
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    axum::serve(listener, io.router()).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn measure(count: usize) -> Fallible<()> {
    let mut server = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let result = fill(line.trim().parse()?, server.id(), count).await;
    server.kill()?;
    server.wait()?;
    result
}

async fn fill(port: u16, pid: u32, count: usize) -> Fallible<()> {
    let mut out = std::io::stdout();
    // The first connection pays for what is allocated once.
    let mut sockets = vec![connect(port).await?];
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = resident(pid)?;
    for _ in 0..count {
        sockets.push(connect(port).await?);
    }
    for round in ["quiet", "after a round of pings"] {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let each = (resident(pid)? - before) as f64 / count as f64;
        writeln!(out, "{count} sockets, {round}: {:.2} KB each", each / 1024.0)?;
        if round == "quiet" {
            for socket in &mut sockets {
                read_until(socket, b"\x81\x012").await?;
                send(socket, b"3").await?;
            }
        }
    }
    Ok(())
}

async fn connect(port: u16) -> Fallible<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
        user-agent: idle\r\naccept-encoding: gzip\r\n\r\n";
    socket.write_all(request.as_bytes()).await?;
    send(&mut socket, b"40").await?;
    read_until(&mut socket, b"40{\"sid\":").await?;
    Ok(socket)
}

/// A masked text frame; the mask is zero.
async fn send(socket: &mut TcpStream, text: &[u8]) -> Fallible<()> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len())?, 0, 0, 0, 0];
    frame.extend(text);
    Ok(socket.write_all(&frame).await?)
}

async fn read_until(socket: &mut TcpStream, end: &[u8]) -> Fallible<()> {
    let mut seen = Vec::new();
    while !seen.windows(end.len()).any(|w| w == end) {
        let mut chunk = [0; 512];
        match socket.read(&mut chunk).await? {
            0 => return Err("closed".into()),
            n => seen.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
    Ok(())
}

fn resident(pid: u32) -> Fallible<i64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kilobytes: i64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kilobytes * 1024)
}
