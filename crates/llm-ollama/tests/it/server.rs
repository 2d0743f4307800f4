//! A small Ollama whose answers are scripted, and which keeps what it was asked.
//!
//! It speaks HTTP/1.1 by hyper; bodies can wait, break off and be cut anywhere.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::timeout,
};

/// Longest that a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A piece of an answer's body.
#[derive(Clone, Debug)]
enum Step {
    Send(Bytes),
    /// Nothing, until the test opens a gate.
    Gate,
    /// Nothing, until the client hangs up.
    Stall,
    /// The connection breaks.
    Cut,
}

/// The answer to one request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    content_type: &'static str,
    /// Nothing at all until the client hangs up.
    silent: bool,
    steps: Vec<Step>,
    before_last: Hook,
}

/// What happens before the last piece of an answer is sent.
#[derive(Clone, Default)]
struct Hook(Option<Arc<dyn Fn() + Send + Sync>>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &'static str, body: &str) -> Self {
        let steps = vec![Step::Send(Bytes::copy_from_slice(body.as_bytes()))];
        Self { status, content_type, silent: false, steps, before_last: Hook::default() }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", &body.to_string())
    }

    /// `{"error": …}`.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "error": message }))
    }

    /// Lines, each a piece of its own.
    pub(crate) fn lines(lines: &[Value]) -> Self {
        Self::new(200, "application/x-ndjson", "").then(lines)
    }

    pub(crate) fn silence() -> Self {
        Self { silent: true, ..Self::new(200, "", "") }
    }

    pub(crate) fn then(mut self, lines: &[Value]) -> Self {
        self.steps.extend(lines.iter().map(|it| Step::Send(format!("{it}\n").into())));
        self
    }

    /// Waits until [`Server::open`].
    pub(crate) fn then_gate(mut self) -> Self {
        self.steps.push(Step::Gate);
        self
    }

    pub(crate) fn then_stall(mut self) -> Self {
        self.steps.push(Step::Stall);
        self
    }

    /// Does this before the last piece is sent.
    pub(crate) fn before_last(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.before_last = Hook(Some(Arc::new(hook)));
        self
    }

    pub(crate) fn then_cut(mut self) -> Self {
        self.steps.push(Step::Cut);
        self
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

impl Asked {
    /// The model that is asked for.
    pub(crate) fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }
}

struct State {
    answer: Box<dyn Fn(&Asked) -> Reply + Send + Sync>,
    asked: Mutex<Vec<Asked>>,
    changed: Notify,
    gate: Semaphore,
    hang_ups: AtomicUsize,
}

/// The server; it ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// A server on a free port of this machine that answers what it is asked.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            answer: Box::new(answer),
            asked: Mutex::default(),
            changed: Notify::new(),
            gate: Semaphore::new(0),
            hang_ups: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _tasks: tasks }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked on this path, in order.
    pub(crate) fn asked(&self, line: &str) -> Vec<Asked> {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|it| it.line == line).cloned().collect()
    }

    /// Lets so many gates be passed.
    pub(crate) fn open(&self, gates: usize) {
        self.state.gate.add_permits(gates);
    }

    /// Returns once this was asked so often.
    pub(crate) async fn asked_times(&self, line: &str, times: usize) {
        self.until(|| times <= self.asked(line).len()).await;
    }

    /// Whether the client hangs up on so many unfinished answers in all, within `limit`.
    pub(crate) async fn hang_ups_within(&self, times: usize, limit: Duration) -> bool {
        timeout(limit, self.until(|| times <= self.hang_ups())).await.is_ok()
    }

    pub(crate) fn hang_ups(&self) -> usize {
        self.state.hang_ups.load(Ordering::SeqCst)
    }

    async fn until(&self, happened: impl Fn() -> bool + Send + Sync) {
        let waiting = async {
            loop {
                let changed = self.state.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                if happened() {
                    return;
                }
                changed.await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap();
    }
}

/// Counts a hang-up unless the answer was sent whole.
struct Unfinished(Option<Arc<State>>);

impl Unfinished {
    fn finish(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            state.hang_ups.fetch_add(1, Ordering::SeqCst);
            state.changed.notify_waiters();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        connections.spawn(serve(stream, number, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, connection: usize, state: Arc<State>) {
    let service = service_fn(move |request| respond(request, connection, Arc::clone(&state)));
    // A connection that the test breaks ends in an error here.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

async fn respond(
    request: Request<Incoming>,
    connection: usize,
    state: Arc<State>,
) -> Result<Response<Body>, Infallible> {
    let line = format!("{} {}", request.method(), request.uri().path());
    let header = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers =
        request.headers().iter().map(|(name, value)| (name.to_string(), header(value))).collect();
    let unfinished = Unfinished(Some(Arc::clone(&state)));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let asked = Asked { line, headers, body, connection };
    let reply = (state.answer)(&asked);
    state.asked.lock().unwrap().push(asked);
    state.changed.notify_waiters();
    if reply.silent {
        std::future::pending::<()>().await;
    }
    let head = Response::builder().status(reply.status).header("content-type", reply.content_type);
    Ok(head.body(body_of(reply, state, unfinished)).unwrap())
}

fn body_of(reply: Reply, state: Arc<State>, unfinished: Unfinished) -> Body {
    let Reply { steps, before_last: Hook(mut before_last), .. } = reply;
    let begin = (steps.into_iter(), state, unfinished);
    let frames = stream::unfold(begin, move |(mut steps, state, mut unfinished)| {
        let hook = before_last.take_if(|_| steps.len() == 1);
        async move {
            hook.inspect(|hook| hook());
            loop {
                let Some(step) = steps.next() else {
                    unfinished.finish();
                    return None;
                };
                let frame = match step {
                    Step::Send(bytes) if bytes.is_empty() => continue,
                    Step::Send(bytes) => Ok(Frame::data(bytes)),
                    Step::Gate => {
                        state.gate.acquire().await.unwrap().forget();
                        continue;
                    }
                    Step::Stall => std::future::pending().await,
                    Step::Cut => {
                        // What was said before is sent first.
                        tokio::task::yield_now().await;
                        unfinished.finish();
                        Err(io::Error::other("the script says so"))
                    }
                };
                return Some((frame, (steps, state, unfinished)));
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}
