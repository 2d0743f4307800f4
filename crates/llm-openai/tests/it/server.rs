//! A server that answers each request with the next script and keeps what it was asked.
//!
//! It speaks just enough HTTP/1.1 to be wrong on purpose: bytes cut anywhere, silence, resets.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

/// What the server does next with a connection.
#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    /// Nothing, until the client hangs up.
    Stall,
    Reset,
    Close,
}

/// The answer to one request. Unless it ends the connection, the next request may come on it.
#[derive(Clone, Debug)]
pub(crate) struct Script(Vec<Step>);

impl Script {
    /// A head and a body of known length.
    pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n");
        Self(vec![Step::Send([head.as_bytes(), body.as_bytes()].concat())])
    }

    /// These bytes.
    pub(crate) fn raw(bytes: &str) -> Self {
        Self(vec![Step::Send(bytes.as_bytes().to_vec())])
    }

    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::answer(status, "content-type: application/json\r\n", body)
    }

    /// An event stream of these data, as OpenAI sends it, with its end.
    pub(crate) fn sse(data: &[&str]) -> Self {
        let Self(mut steps) = Self::open_sse(data);
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        Self(steps)
    }

    /// The same without the end of its body.
    pub(crate) fn open_sse(data: &[&str]) -> Self {
        let events: Vec<String> = data.iter().map(|it| format!("data: {it}\n\n")).collect();
        Self::chunked(&events)
    }

    /// An event stream of these pieces, without the end of its body.
    pub(crate) fn chunked(pieces: &[String]) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut steps = vec![Step::Send(head.as_bytes().to_vec())];
        let chunks = pieces.iter().map(|it| format!("{:x}\r\n{it}\r\n", it.len()));
        steps.extend(chunks.map(|it| Step::Send(it.into_bytes())));
        Self(steps)
    }

    /// A body that ends with the connection.
    pub(crate) fn until_close(content_type: &str, body: &str) -> Self {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n");
        Self(vec![Step::Send([head.as_bytes(), body.as_bytes()].concat()), Step::Close])
    }

    pub(crate) fn silence() -> Self {
        Self(vec![Step::Stall])
    }

    pub(crate) fn hang_up() -> Self {
        Self(vec![Step::Close])
    }

    /// Whether the client has to lose patience with it.
    pub(crate) fn stalls(&self) -> bool {
        self.0.iter().any(|step| matches!(step, Step::Stall))
    }

    pub(crate) fn then_stall(mut self) -> Self {
        self.0.push(Step::Stall);
        self
    }

    pub(crate) fn then_reset(mut self) -> Self {
        self.0.push(Step::Reset);
        self
    }

    pub(crate) fn then_close(mut self) -> Self {
        self.0.push(Step::Close);
        self
    }

    /// The same bytes in packets of at most `size`.
    pub(crate) fn in_pieces(self, size: usize) -> Self {
        let cut = |step| match step {
            Step::Send(bytes) => bytes.chunks(size).map(|it| Step::Send(it.to_vec())).collect(),
            other => vec![other],
        };
        Self(self.0.into_iter().flat_map(cut).collect())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    /// `Null` when there was none.
    pub(crate) body: Value,
    /// Number of the connection, from 0.
    pub(crate) connection: usize,
}

struct State {
    answer: Box<dyn Fn(&Asked) -> Script + Send + Sync>,
    asked: Mutex<Vec<Asked>>,
    /// One permit for each request that came.
    requests: Semaphore,
    /// One permit for each hang-up seen while stalling.
    hang_ups: Semaphore,
}

/// The server; it ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// A server on a free port of this machine that plays `scripts` in order.
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let scripts = Mutex::new(scripts.into_iter().collect::<VecDeque<_>>());
        Self::answering(move |asked| {
            let next = scripts.lock().unwrap().pop_front();
            next.unwrap_or_else(|| panic!("the script has no answer for {asked:?}"))
        })
        .await
    }

    /// A server on a free port of this machine that answers what it is asked.
    pub(crate) async fn answering(
        answer: impl Fn(&Asked) -> Script + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            answer: Box::new(answer),
            asked: Mutex::default(),
            requests: Semaphore::new(0),
            hang_ups: Semaphore::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _tasks: tasks }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Returns when one more request has come.
    pub(crate) async fn request(&self) {
        self.state.requests.acquire().await.unwrap().forget();
    }

    /// Whether the client hangs up within `limit` while the server is silent.
    pub(crate) async fn hang_up_within(&self, limit: Duration) -> bool {
        timeout(limit, self.state.hang_ups.acquire()).await.is_ok()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let number = connections.len();
        connections.spawn(serve(stream, number, Arc::clone(&state)));
    }
}

async fn serve(mut stream: TcpStream, connection: usize, state: Arc<State>) {
    while let Some(asked) = read_request(&mut stream, connection).await {
        let Script(steps) = (state.answer)(&asked);
        state.asked.lock().unwrap().push(asked);
        state.requests.add_permits(1);
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                Step::Stall => {
                    let mut byte = [0];
                    while matches!(stream.read(&mut byte).await, Ok(1..)) {}
                    return state.hang_ups.add_permits(1);
                }
                Step::Reset => return stream.set_zero_linger().unwrap(),
                Step::Close => return,
            }
        }
    }
}

/// The next request; `None` when the client hangs up.
async fn read_request(stream: &mut TcpStream, connection: usize) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break at;
        }
        bytes.push(stream.read_u8().await.ok()?);
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Asked { line, headers, body, connection })
}
