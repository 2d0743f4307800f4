//! A client that reads an answer as it comes, whatever it is.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use brain_testkit::model_server::{ModelServer, Wire};
use serde_json::{Value, json};

/// Longest wait for a byte.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    host: String,
}

/// An answer, as far as it came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    head: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How many pieces the body came in.
    pub(crate) chunks: usize,
    /// Whether the body had its end.
    pub(crate) is_whole: bool,
    /// Why the connection failed, if it did.
    pub(crate) failure: Option<ErrorKind>,
}

impl Client {
    pub(crate) fn connect(server: &ModelServer) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, host: server.address().to_string() }
    }

    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let host = &self.host;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(head.as_bytes()).unwrap();
    }

    pub(crate) fn send_chat(&mut self, wire: Wire, stream: bool) {
        let (path, body) = chat_of(wire, stream, "mock");
        self.send("POST", path, &[], &body.to_string());
    }

    /// Reads until this text has come.
    pub(crate) fn read_until(&mut self, text: &str) {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut piece = [0; 1024];
            let count = self.stream.read(&mut piece).unwrap();
            assert!(count != 0, "the answer ends without {text}");
            seen.extend_from_slice(&piece[..count]);
        }
    }

    /// Reads until the server ends the connection.
    fn receive(mut self) -> Received {
        let mut bytes = Vec::new();
        let failure = self.stream.read_to_end(&mut bytes).err().map(|it| it.kind());
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").map(|it| it + 4);
        let (head, body) = bytes.split_at(end.unwrap_or(0));
        let head = String::from_utf8(head.to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().and_then(|it| it.split(' ').nth(1));
        let status = status.map_or(0, |it| it.parse().unwrap());
        let pairs = lines.filter_map(|it| it.split_once(": "));
        let head = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = body.to_vec();
        let received = Received { status, head, body, chunks: 1, is_whole: false, failure };
        received.unframed()
    }
}

impl Received {
    /// The same without the marks of chunks.
    fn unframed(mut self) -> Self {
        if self.header("transfer-encoding").is_none() {
            let length = self.header("content-length").map(|it| it.parse().unwrap());
            self.is_whole = length == Some(self.body.len());
            return self;
        }
        let (mut body, mut rest) = (Vec::new(), self.body.as_slice());
        self.chunks = 0;
        while let Some(end) = rest.windows(2).position(|it| it == b"\r\n") {
            let size = std::str::from_utf8(&rest[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            let piece = &rest[end + 2..];
            self.is_whole = size == 0;
            if self.is_whole || piece.len() < size + 2 {
                break;
            }
            body.extend_from_slice(&piece[..size]);
            self.chunks += 1;
            rest = &piece[size + 2..];
        }
        self.body = body;
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The JSON of each piece that has some.
    pub(crate) fn frames(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let lines = text.lines().map(|it| it.strip_prefix("data: ").unwrap_or(it));
        lines.filter_map(|it| serde_json::from_str(it).ok()).collect()
    }
}

pub(crate) fn post(
    server: &ModelServer,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Received {
    let mut client = Client::connect(server);
    client.send("POST", path, headers, &body.to_string());
    client.receive()
}

pub(crate) fn get(server: &ModelServer, path: &str) -> Received {
    let mut client = Client::connect(server);
    client.send("GET", path, &[], "");
    client.receive()
}

/// A chat with the default model.
pub(crate) fn chat(server: &ModelServer, wire: Wire, stream: bool) -> Received {
    chat_with(server, wire, stream, "mock")
}

/// A chat with this model.
pub(crate) fn chat_with(server: &ModelServer, wire: Wire, stream: bool, model: &str) -> Received {
    let (path, body) = chat_of(wire, stream, model);
    post(server, path, &[], &body)
}

fn chat_of(wire: Wire, stream: bool, model: &str) -> (&'static str, Value) {
    let path = match wire {
        Wire::OpenAi => "/v1/chat/completions",
        Wire::Azure => "/openai/v1/chat/completions",
        Wire::TabbyMl => "/tabby/v1/chat/completions",
        Wire::Ollama => "/api/chat",
    };
    let messages = json!([{ "role": "user", "content": "What do you see?" }]);
    (path, json!({ "model": model, "stream": stream, "messages": messages }))
}
