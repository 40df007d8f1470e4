//! Sees every byte that passes, so that progress within one large frame counts as progress, and so that it is known
//! when no part of a frame lies in a buffer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

#[derive(Debug)]
pub(super) struct Meter<S> {
    /// Empty only once it was moved on.
    io: Option<S>,
    last_write: Instant,
    write_blocked: bool,
    read: u64,
    consumed: u64,
}

impl<S: Unpin> Meter<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io: Some(io), last_write: Instant::now(), write_blocked: false, read: 0, consumed: 0 }
    }

    /// When the operating system last took a byte.
    pub(super) fn last_write(&self) -> Instant {
        self.last_write
    }

    /// A message came out of the bytes that were read.
    pub(super) fn consumed(&mut self, message: &Message) {
        let length = message.len() as u64;
        let header = match length {
            0..126 => 6,
            126..=0xffff => 8,
            _ => 14,
        };
        self.consumed += header + length;
    }

    /// All that was read came out as messages, and nothing waits to be written. A message may have taken more bytes
    /// than counted here, in fragments for instance, but never fewer: the counts are then never equal again, and when
    /// they are equal nothing is left in between.
    pub(super) fn is_clean(&self) -> bool {
        !self.write_blocked && self.read == self.consumed
    }

    /// Leaves this one empty, for a clean one only.
    pub(super) fn move_on(&mut self) -> Self {
        Self { io: self.io.take(), last_write: self.last_write, write_blocked: false, read: 0, consumed: 0 }
    }

    fn io(&mut self) -> io::Result<Pin<&mut S>> {
        self.io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn wrote(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.write_blocked = result.is_pending();
        if let Poll::Ready(Ok(_)) = result {
            self.last_write = Instant::now();
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Meter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = self.io()?.poll_read(cx, buf);
        self.read += (buf.filled().len() - before) as u64;
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Meter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = self.io()?.poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.io()?.poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_shutdown(cx)
    }
}
