use crate::http::activity::{Activity, Phase};
use crate::http::connections::Place;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// After the server has ended a connection, so long and so much is still read and thrown away: closed with something
/// unread, a connection is reset, and its client loses the answer that it has not read yet.
const LINGER: Duration = Duration::from_secs(1);
const THROWN_AWAY: usize = 16 * 1024 * 1024;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To begin the next request.
    pub keep_alive: Duration,
    /// To finish the head of one that it has begun.
    pub head: Duration,
}

/// A connection whose client takes too long, or whose place is needed, ends as if the client had ended it. Not by the
/// HTTP library's own timeout, which is one for both waits.
pub struct Paced<T> {
    inner: T,
    activity: Arc<Activity>,
    /// Given back when the connection is gone, be it a websocket by then.
    _place: Place,
    patience: Patience,
    /// Fires no later than what is due; it is set anew when it has fired too early, and not for every request.
    timer: Option<Pin<Box<Sleep>>>,
    shutdown: CancellationToken,
    has_ended: bool,
    lingering: Option<Lingering>,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    thrown_away: usize,
}

impl<T> Paced<T> {
    /// Watches `inner`, of which the first byte is there.
    pub fn new(inner: T, place: Place, patience: Patience, shutdown: CancellationToken) -> Self {
        let activity = place.activity.clone();
        activity.enter(Phase::Head);
        Self {
            inner,
            activity,
            _place: place,
            patience,
            timer: None,
            shutdown,
            has_ended: false,
            lingering: None,
        }
    }

    fn due(&self) -> Option<Instant> {
        let since = self.activity.waiting_since()?;
        Some(match self.activity.phase() {
            Phase::Head => since + self.patience.head,
            _ => since + self.patience.keep_alive,
        })
    }

    /// Ready when the client's time is over, or its place is needed. Whoever reads is not told when a request has been
    /// served, and may not ask again: what wakes it is registered while that lasts, too.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let evicted = self.activity.poll_evicted(context).is_ready();
        match self.activity.phase() {
            Phase::Idle | Phase::Head if evicted => return Poll::Ready(()),
            Phase::Upgraded => {
                self.timer = None;
                return Poll::Pending;
            }
            _ => {}
        }
        let due = self.due();
        let timer = self.timer.get_or_insert_with(|| {
            Box::pin(sleep_until(due.unwrap_or_else(|| Instant::now() + self.patience.keep_alive)))
        });
        if let Some(due) = due
            && timer.deadline() > due
        {
            timer.as_mut().reset(due);
        }
        loop {
            // Mostly this ends here, without a look at the clock: it is asked for every request.
            ready!(timer.as_mut().poll(context));
            let now = Instant::now();
            if due.is_some_and(|due| now >= due) {
                return Poll::Ready(());
            }
            // What is being served now will not be overdue before this.
            timer.as_mut().reset(due.unwrap_or(now + self.patience.keep_alive));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(read) => {
                if buffer.filled().len() == before {
                    self.has_ended = true;
                } else if self.activity.phase() == Phase::Idle {
                    self.activity.enter(Phase::Head);
                } else if self.due().is_some_and(|due| Instant::now() >= due) {
                    // Byte by byte, so that it is never waited for.
                    buffer.set_filled(before);
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_overdue(context).map(Ok),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
            let until = Box::pin(sleep_until(Instant::now() + LINGER));
            self.lingering = Some(Lingering { until, thrown_away: 0 });
        }
        let is_done = self.has_ended
            || self.activity.phase() == Phase::Upgraded
            || self.activity.is_evicted()
            || self.shutdown.is_cancelled();
        if is_done {
            return Poll::Ready(Ok(()));
        }
        let Self { inner, lingering, .. } = &mut *self;
        let Some(Lingering { until, thrown_away }) = lingering else { return Poll::Ready(Ok(())) };
        let mut scrap = [0; 4096];
        while *thrown_away < THROWN_AWAY {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut *inner).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => *thrown_away += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return until.as_mut().poll(context).map(Ok),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::connections::{Bounds, Connections};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const PATIENCE: Patience =
        Patience { keep_alive: Duration::from_secs(75), head: Duration::from_secs(10) };

    async fn paced() -> (DuplexStream, Paced<DuplexStream>, Arc<Activity>) {
        let (client, server) = duplex(64 * 1024);
        let connections = Connections::new(Bounds { all: 1, ..Bounds::default() });
        let place = connections.enter([127, 0, 0, 1].into()).await.unwrap();
        let activity = place.activity.clone();
        let paced = Paced::new(server, place, PATIENCE, CancellationToken::new());
        (client, paced, activity)
    }

    async fn ended_after(paced: &mut Paced<DuplexStream>) -> u64 {
        let start = Instant::now();
        assert_eq!(paced.read(&mut [0; 64]).await.unwrap(), 0);
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_and_an_idle_connection_have_times_of_their_own() {
        let (_client, mut paced, _activity) = paced().await;
        assert_eq!(ended_after(&mut paced).await, 10);

        let (mut client, mut paced, activity) = self::paced().await;
        activity.enter(Phase::Serving);
        activity.enter(Phase::Idle);
        assert_eq!(ended_after(&mut paced).await, 75);
        // The next request begins, and is not finished.
        activity.enter(Phase::Idle);
        client.write_all(b"GET /").await.unwrap();
        assert_eq!(paced.read(&mut [0; 64]).await.unwrap(), 5);
        assert_eq!(ended_after(&mut paced).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_byte_by_byte_ends_in_time() {
        let (mut client, mut paced, _activity) = paced().await;
        let start = Instant::now();
        let dripping = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        while paced.read(&mut [0; 64]).await.unwrap() > 0 {}
        assert_eq!(start.elapsed().as_secs(), 10);
        drop(paced);
        dripping.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn while_it_is_served_it_is_not_hurried_and_its_place_is_given_up_after() {
        let (_client, mut paced, activity) = paced().await;
        activity.enter(Phase::Serving);
        activity.evict();
        let long = tokio::time::timeout(Duration::from_secs(1_000), ended_after(&mut paced));
        assert!(long.await.is_err());
        activity.enter(Phase::Idle);
        assert_eq!(ended_after(&mut paced).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_began_while_it_was_served_ends_in_time() {
        for evict in [false, true] {
            let (_client, mut paced, activity) = paced().await;
            activity.enter(Phase::Serving);
            let reading = tokio::spawn(async move { ended_after(&mut paced).await });
            tokio::time::sleep(Duration::from_secs(100)).await;
            activity.enter(Phase::Idle);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(!reading.is_finished());
            if evict {
                activity.evict();
            }
            assert_eq!(reading.await.unwrap(), if evict { 105 } else { 175 });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_can_read_its_answer() {
        let (mut client, mut paced, activity) = paced().await;
        activity.enter(Phase::Serving);
        client.write_all(&[0; 1_000]).await.unwrap();
        paced.write_all(b"no").await.unwrap();
        let ending = tokio::spawn(async move { paced.shutdown().await });
        client.write_all(&[0; 1_000_000]).await.unwrap();
        let mut answer = [0; 2];
        client.read_exact(&mut answer).await.unwrap();
        drop(client);
        ending.await.unwrap().unwrap();
    }
}
