//! A client that shows bytes as they are on the wire.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::server::Server;

const DOCS: &str = include_str!("../../../../docs/API.md");

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Checks that it is a problem of this status and documented code, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert!(DOCS.contains(&format!("`{code}`")), "docs/API.md does not name {code}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        assert!(problem["detail"].as_str().is_some_and(|it| !it.is_empty()));
        problem
    }
}

/// An answer that comes chunk by chunk.
#[derive(Debug)]
pub(crate) struct Streamed {
    reader: BufReader<TcpStream>,
    pub(crate) status: u16,
    pub(crate) head: Vec<(String, String)>,
}

impl Streamed {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// The next chunk, which is one event or one comment; `None` after the last.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        self.reader.read_line(&mut size).await.unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).await.unwrap();
        chunk.truncate(size);
        (0 < size).then(|| String::from_utf8(chunk).unwrap())
    }

    /// The next event: its number, name and data. Comments are passed over.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        loop {
            let chunk = self.chunk().await?;
            if !chunk.starts_with(':') {
                return Some(Event::parse(&chunk));
            }
        }
    }

    /// All chunks that are left.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(chunk) = self.chunk().await {
            rest.push_str(&chunk);
        }
        rest
    }

    /// All events that are left.
    pub(crate) async fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }

    /// Cuts the connection with a RST.
    pub(crate) fn reset(self) {
        reset(self.reader.into_inner());
    }
}

/// Cuts a connection with a RST.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<u64>,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Event {
    fn parse(text: &str) -> Self {
        assert!(text.ends_with("\n\n"), "{text:?}");
        let field = |name: &str| {
            let fields: Vec<_> = text.lines().filter_map(|it| it.strip_prefix(name)).collect();
            assert!(fields.len() < 2, "{text}");
            fields.first().map(|it| (*it).to_owned())
        };
        Self {
            id: field("id: ").map(|it| it.parse().unwrap()),
            name: field("event: ").unwrap(),
            data: serde_json::from_str(&field("data: ").unwrap()).unwrap(),
        }
    }
}

/// Bytes of a request with a JSON body.
pub(crate) fn raw(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let length = if length == 0 { String::new() } else { format!("content-length: {length}\r\n") };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{length}\r\n");
    [head.as_bytes(), body].concat()
}

const JSON: &str = "content-type: application/json\r\n";

impl Server {
    /// Sends these bytes, and reads the answer's head.
    pub(crate) async fn open(&self, request: &[u8]) -> Streamed {
        open(self.address, request).await
    }

    /// Sends these bytes, and reads the whole answer.
    pub(crate) async fn send(&self, request: &[u8]) -> Reply {
        let mut streamed = self.open(request).await;
        let length = streamed.header("content-length").map(|it| it.parse::<usize>().unwrap());
        let mut body = Vec::new();
        if let Some(length) = length {
            body.resize(length, 0);
            streamed.reader.read_exact(&mut body).await.unwrap();
        } else if streamed.header("transfer-encoding") == Some("chunked") {
            body = streamed.rest().await.into_bytes();
        }
        Reply { status: streamed.status, head: streamed.head, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(&raw("GET", path, "", b"")).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(&raw("DELETE", path, "", b"")).await
    }

    /// Stops a turn.
    pub(crate) async fn cancel(&self, turn: &str) -> Reply {
        self.send(&raw("POST", &format!("/chat/turns/{turn}/cancel"), "", b"")).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(&raw("POST", path, JSON, body.to_string().as_bytes())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(&raw("PATCH", path, JSON, body.to_string().as_bytes())).await
    }

    /// A request under an idempotency key.
    pub(crate) async fn post_as(&self, key: &str, path: &str, body: Value) -> Reply {
        let headers = format!("{JSON}idempotency-key: {key}\r\n");
        self.send(&raw("POST", path, &headers, body.to_string().as_bytes())).await
    }

    /// Posts to `/chat`, which answers in events.
    pub(crate) async fn stream(&self, body: Value) -> Streamed {
        let streamed = self.open(&raw("POST", "/chat", JSON, body.to_string().as_bytes())).await;
        assert_eq!(streamed.status, 200);
        streamed
    }

    /// Listens at a path that answers in events.
    pub(crate) async fn listen(&self, path: &str) -> Streamed {
        self.open(&raw("GET", path, "", b"")).await
    }
}

async fn open(address: SocketAddr, request: &[u8]) -> Streamed {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let bytes = reader.read_line(&mut line).await.unwrap();
        assert!(0 < bytes, "the connection ended before an answer");
        if line == "\r\n" {
            break;
        }
        lines.push(line);
    }
    let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
    let field = |line: &String| {
        let (name, value) = line.trim_end().split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    let head = lines[1..].iter().map(field).collect();
    Streamed { reader, status, head }
}

/// The text with what differs from run to run made equal: UUIDs and times.
pub(crate) fn stable(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let taken = match () {
            () if is_uuid(rest) => Some(("<uuid>", 36)),
            () if is_time(rest) => Some(("<time>", 24)),
            () => None,
        };
        let (text, length) = taken.unwrap_or((&rest[..letter.len_utf8()], letter.len_utf8()));
        out.push_str(text);
        rest = &rest[length..];
    }
    out
}

fn is_uuid(text: &str) -> bool {
    let shape = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    36 <= text.len() && text.bytes().take(36).enumerate().all(shape)
}

fn is_time(text: &str) -> bool {
    24 <= text.len() && text.as_bytes()[10] == b'T' && text.as_bytes()[23] == b'Z'
}
