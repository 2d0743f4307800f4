//! A model server that speaks just enough of OpenAI's API, and does what the message says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// Answers `So you say: …` to every message, with three exceptions:
///
/// - `hold`: it says [`LONG`], and the rest once [`FakeModel::release`] is called;
/// - `hang`: it says [`LONG`] and then nothing for ever;
/// - `fail`: it refuses.
///
/// A title takes it [`THINKING`].
pub(crate) struct FakeModel {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Value>>>,
    release: mpsc::Sender<()>,
}

/// A beginning that is long enough to be stored before the answer is whole.
pub(crate) const LONG: usize = 5_000;
/// Longer than a command of ours takes to end.
const THINKING: Duration = Duration::from_millis(200);

impl FakeModel {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<Value>>>::default();
        let (release, released) = mpsc::channel();
        let (kept, released) = (Arc::clone(&requests), Arc::new(Mutex::new(released)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, released) = (Arc::clone(&kept), Arc::clone(&released));
                // A client that hangs up is part of the tests.
                thread::spawn(move || drop(answer(&stream.unwrap(), &kept, &released)));
            }
        });
        Self { url, requests, release }
    }

    /// Lets an answer that is held go on.
    pub(crate) fn release(&self) {
        self.release.send(()).unwrap();
    }

    /// What the last request showed the model, as (role, text).
    pub(crate) fn last_messages(&self) -> Vec<(String, String)> {
        shown(self.requests.lock().unwrap().last().unwrap())
    }

    /// What the model was shown before this last message, as (role, text).
    pub(crate) fn messages_before(&self, last: &str) -> Vec<(String, String)> {
        let requests = self.requests.lock().unwrap();
        let mut all = requests.iter().map(shown);
        let mut messages = all.find(|it| it.last().is_some_and(|it| it.1 == last)).unwrap();
        messages.pop();
        messages
    }
}

/// The messages of a request, as (role, text).
fn shown(request: &Value) -> Vec<(String, String)> {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let messages = request["messages"].as_array().unwrap().iter();
    messages.map(|it| (text(&it["role"]), text(&it["content"]))).collect()
}

fn answer(
    mut stream: &TcpStream,
    requests: &Mutex<Vec<Value>>,
    released: &Mutex<mpsc::Receiver<()>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type";
    if first.contains("/models") {
        let models = json!({"object": "list", "data": [{"id": "fake", "object": "model"}]});
        return write!(stream, "{head}: application/json\r\n\r\n{models}");
    }
    let request: Value = serde_json::from_slice(&body)?;
    let said = request["messages"].as_array().unwrap().last().unwrap()["content"].clone();
    if shown(&request).first().is_some_and(|it| it.1.starts_with("You name conversations.")) {
        thread::sleep(THINKING);
    }
    requests.lock().unwrap().push(request);
    let said = said.as_str().unwrap();
    if said == "fail" {
        return write!(
            stream,
            "HTTP/1.1 401 X\r\nconnection: close\r\n\r\n{{\"error\": {{\"message\": \"no\"}}}}"
        );
    }
    write!(stream, "{head}: text/event-stream\r\n\r\n")?;
    if matches!(said, "hold" | "hang") {
        write!(stream, "{}", chunk(&json!({"content": "x".repeat(LONG)}), None))?;
    }
    if said == "hang" {
        return reader.read(&mut [0]).map(drop);
    }
    if said == "hold" {
        released.lock().unwrap().recv().unwrap();
    }
    write!(stream, "{}", chunk(&json!({"content": "So you say: "}), None))?;
    write!(stream, "{}", chunk(&json!({"content": said}), None))?;
    write!(stream, "{}data: [DONE]\n\n", chunk(&json!({}), Some("stop")))
}

fn chunk(delta: &Value, reason: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
    format!("data: {}\n\n", json!({"id": "1", "model": "fake", "choices": [choice]}))
}
