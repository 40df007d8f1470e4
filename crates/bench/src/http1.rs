use crate::target::Endpoint;
use std::io::{self, ErrorKind, Write as _};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ANSWER_LIMIT: usize = 64 * 1024;
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// One keep-alive HTTP/1.1 connection with one request at a time, as little of HTTP as a sender needs: a request is one
/// write, an answer usually one read. Opens itself again after a request that broke it.
pub struct Connection {
    endpoint: Rc<Endpoint>,
    stream: Option<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// What the server answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// Whether it is a 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// For a person to read.
    pub fn describe(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
        format!("{} {}", self.status, text)
    }
}

impl Connection {
    pub fn new(endpoint: Rc<Endpoint>) -> Self {
        Self { endpoint, stream: None, request: Vec::new(), answer: Vec::new() }
    }

    /// Connects, if it is not connected: else the first request does, and pays for it.
    pub async fn open(&mut self) -> io::Result<()> {
        connected(&mut self.stream, &self.endpoint).await.map(|_| ())
    }

    /// Sends a request and waits for the whole answer. After an error it is unknown whether the server acted on it.
    pub async fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Answer<'_>> {
        self.write_request(path, body);
        let exchange = tokio::time::timeout(TIME_LIMIT, self.exchange());
        let head = match exchange.await {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => {
                self.stream = None;
                return Err(error);
            }
            Err(_) => {
                self.stream = None;
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    format!("no answer in {} s", TIME_LIMIT.as_secs()),
                ));
            }
        };
        if head.close {
            self.stream = None;
        }
        Ok(Answer { status: head.status, body: &self.answer[head.body..] })
    }

    fn write_request(&mut self, path: &str, body: &[u8]) {
        let Endpoint { address, api_key } = &*self.endpoint;
        self.request.clear();
        // Writing to a Vec cannot fail.
        let _ = write!(
            self.request,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len(),
        );
        if let Some(key) = api_key {
            let _ = write!(self.request, "authorization: Bearer {key}\r\n");
        }
        self.request.extend_from_slice(b"\r\n");
        self.request.extend_from_slice(body);
    }

    async fn exchange(&mut self) -> io::Result<Head> {
        let stream = connected(&mut self.stream, &self.endpoint).await?;
        stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            if let Some(head) = Head::parse(&self.answer)? {
                let end = head.body + head.length;
                if self.answer.len() > end {
                    return Err(invalid("more than one answer"));
                }
                if self.answer.len() == end {
                    return Ok(head);
                }
                if end > ANSWER_LIMIT {
                    return Err(invalid("an answer that is too large"));
                }
            }
            if self.answer.len() >= ANSWER_LIMIT {
                return Err(invalid("an answer without end"));
            }
            self.answer.reserve(1024);
            if stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
        }
    }
}

async fn connected<'a>(
    stream: &'a mut Option<TcpStream>,
    endpoint: &Endpoint,
) -> io::Result<&'a mut TcpStream> {
    match stream {
        Some(stream) => Ok(stream),
        closed => {
            let stream = TcpStream::connect(&endpoint.address).await?;
            stream.set_nodelay(true)?;
            Ok(closed.insert(stream))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body: usize,
    length: usize,
    close: bool,
}

impl Head {
    /// None while the head is not complete.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let body = match response.parse(bytes) {
            Ok(httparse::Status::Complete(body)) => body,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error.to_string())),
        };
        let status = response.code.unwrap_or(0);
        let header = |name: &str| {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok()
        };
        let length = match header("content-length") {
            Some(length) => {
                length.trim().parse().map_err(|_| invalid("a content-length that is no number"))?
            }
            None if status == 204 => 0,
            None => return Err(invalid("an answer without content-length")),
        };
        if length > ANSWER_LIMIT {
            return Err(invalid("an answer that is too large"));
        }
        let close = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Some(Self { status, body, length, close }))
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_head_is_parsed_once_it_is_whole() {
        let whole = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";
        let head = Head { status: 201, body: whole.len(), length: 2, close: true };
        assert_eq!(Head::parse(whole).unwrap(), Some(head));
        for end in 0..whole.len() {
            assert_eq!(Head::parse(&whole[..end]).unwrap(), None);
        }
    }

    #[test]
    fn what_is_not_an_answer_is_an_error() {
        for bytes in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        ] {
            assert!(Head::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_replaced_when_it_broke() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            for answers in [2, 1] {
                let (mut stream, _) = listener.accept().await.unwrap();
                for _ in 0..answers {
                    let mut request = vec![0; 4096];
                    let read = stream.read(&mut request).await.unwrap();
                    assert!(request[..read].ends_with(b"\r\n\r\n{}"));
                    // In two pieces, as a network may deliver it.
                    stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-le").await.unwrap();
                    stream.write_all(b"ngth: 4\r\n\r\ntrue").await.unwrap();
                }
            }
        });
        let mut connection = Connection::new(Rc::new(Endpoint { address, api_key: None }));
        let answer = Answer { status: 201, body: b"true" };
        assert_eq!(connection.post("/x", b"{}").await.unwrap(), answer);
        assert_eq!(connection.post("/x", b"{}").await.unwrap(), answer);
        assert!(connection.post("/x", b"{}").await.is_err());
        assert_eq!(connection.post("/x", b"{}").await.unwrap(), answer);
        server.await.unwrap();
    }
}
