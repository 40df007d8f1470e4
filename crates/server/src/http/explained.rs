use crate::http::RequestId;
use crate::http::problem::{Code, Problem, ProblemBody};
use http::StatusCode;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives the refusals that the HTTP library writes by itself the form of all others. It refuses what is no request before
/// anything of ours hears of it, by a status without a word, and it offers no way to say more.
pub struct Explained<T> {
    inner: T,
    instead: Option<Instead>,
}

struct Instead {
    bytes: Vec<u8>,
    written: usize,
    /// How much of the library's own it stands for.
    of: usize,
}

impl<T> Explained<T> {
    /// What is written to `inner` is looked at.
    pub fn new(inner: T) -> Self {
        Self { inner, instead: None }
    }
}

impl<T: AsyncWrite + Unpin> Explained<T> {
    /// Writes what stands in the place of `parts`, if something does.
    fn poll_instead(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Option<Poll<io::Result<usize>>> {
        if self.instead.is_none() {
            let bytes = explained(parts.first()?)?;
            self.instead = Some(Instead { bytes, written: 0, of: parts.iter().map(|part| part.len()).sum() });
        }
        let Instead { bytes, written, of } = self.instead.as_mut()?;
        while *written < bytes.len() {
            match Pin::new(&mut self.inner).poll_write(context, &bytes[*written..]) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(more)) => *written += more,
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        let of = *of;
        self.instead = None;
        Some(Poll::Ready(Ok(of)))
    }
}

/// A whole answer to what never became a request. The connection ends with it.
pub fn written_out(problem: Problem) -> Vec<u8> {
    let id = RequestId::new();
    let retry = if problem.is_retryable() { "retry-after: 1\r\n" } else { "" };
    answer(&problem.body_for(Some(id.clone())), &id, retry)
}

fn answer(body: &ProblemBody, id: &RequestId, more: &str) -> Vec<u8> {
    let json = serde_json::to_string(body).unwrap_or_default();
    let status = StatusCode::from_u16(body.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let reason = status.canonical_reason().unwrap_or_default();
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nx-request-id: {}\r\n{more}connection: close\r\n\r\n{json}",
        status.as_u16(),
        json.len(),
        id.as_str(),
    )
    .into_bytes()
}

/// What is written instead, if `head` is a refusal of the library. Ours always have an id.
fn explained(head: &[u8]) -> Option<Vec<u8>> {
    const ID: &[u8] = b"x-request-id:";
    if !(head.starts_with(b"HTTP/1.1 4") || head.starts_with(b"HTTP/1.0 4")) {
        return None;
    }
    if head.windows(ID.len()).any(|window| window.eq_ignore_ascii_case(ID)) {
        return None;
    }
    let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
    let detail = match status {
        414 => "the URL is too long",
        431 => "the headers are too many or too long",
        _ => "this is no HTTP request that can be read",
    };
    let id = RequestId::new();
    let body = Problem::new(Code::InvalidRequest, detail).body_for(Some(id.clone())).with_status(status);
    Some(answer(&body, &id, ""))
}

impl<T: AsyncRead + Unpin> AsyncRead for Explained<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Explained<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.poll_instead(context, &[IoSlice::new(bytes)]) {
            Some(poll) => poll,
            None => Pin::new(&mut self.inner).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.poll_instead(context, parts) {
            Some(poll) => poll,
            None => Pin::new(&mut self.inner).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.instead.is_some() {
            let _ = ready!(self.poll_instead(context, &[]).unwrap_or(Poll::Ready(Ok(0))));
        }
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    async fn written(bytes: &[u8]) -> String {
        // Narrow, so that what is written instead takes several turns.
        let (mut client, server) = duplex(16);
        let mut server = Explained::new(server);
        let bytes = bytes.to_vec();
        let writing = tokio::spawn(async move {
            server.write_all(&bytes).await.unwrap();
            server.shutdown().await.unwrap();
        });
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        writing.await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_refusal_of_the_library_gets_words_and_an_id() {
        let text =
            written(b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n").await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 "), "{text}");
        let id = head.split_once("x-request-id: ").unwrap().1.lines().next().unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(431), Some("invalid_request")));
        assert_eq!(body["request_id"].as_str(), Some(id));
    }

    #[tokio::test]
    async fn everything_else_is_written_as_it_is() {
        for text in
            ["HTTP/1.1 404 Not Found\r\nx-request-id: a\r\n\r\n{}", "HTTP/1.1 200 OK\r\n\r\n", "4", ""]
        {
            assert_eq!(written(text.as_bytes()).await, text);
        }
    }
}
