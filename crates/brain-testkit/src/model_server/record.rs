//! What the server was asked, and how each answer ended.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use event_listener::Event;
use http::{HeaderMap, Method, Version};
use serde_json::Value;

use super::{Reply, ServerConfig};

/// A request as it came, and what became of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When it had come whole.
    pub at: Instant,
    /// Number of its connection, from 0.
    pub connection: usize,
    /// Version of HTTP.
    pub version: Version,
    /// Method.
    pub method: Method,
    /// Path, as sent.
    pub path: String,
    /// What follows the `?`, as sent; empty if nothing does.
    pub query: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, as sent.
    pub body: Bytes,
    /// Status of the answer, once it has begun.
    pub status: Option<u16>,
    /// When the answer had been given whole, or as far as a fault allows.
    pub answered: Option<Instant>,
    /// When the client hung up, or reset the stream, before that.
    pub dropped: Option<Instant>,
}

impl Asked {
    /// Its body as JSON; `Null` if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
    }
}

/// A line for a log.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        if let Some(model) = self.json()["model"].as_str() {
            write!(f, " model={model}")?;
        }
        match self.status {
            Some(status) => write!(f, " {status}")?,
            None => f.write_str(" no answer")?,
        }
        let end = if self.dropped.is_some() { "given up by the client after" } else { "in" };
        let ended = self.dropped.or(self.answered).unwrap_or(self.at);
        write!(f, " {end} {} ms", ended.duration_since(self.at).as_millis())
    }
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) config: ServerConfig,
    state: Mutex<State>,
    changed: Event,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) script: VecDeque<Reply>,
    /// The latest requests, and how many older ones are forgotten.
    pub(super) asked: VecDeque<Asked>,
    pub(super) forgotten: usize,
    pub(super) cancelled: usize,
    pub(super) connections: usize,
    /// Bytes of each layer that have been pulled.
    pub(super) layers: HashMap<String, BTreeMap<String, u64>>,
    /// Models that were pulled.
    pub(super) pulled: BTreeSet<String>,
}

impl State {
    /// The request of this number, unless it is forgotten.
    fn request(&mut self, number: usize) -> Option<&mut Asked> {
        self.asked.get_mut(number.checked_sub(self.forgotten)?)
    }
}

impl Shared {
    pub(super) fn new(config: ServerConfig) -> Self {
        let script = config.script.iter().cloned().collect();
        let state = State { script, ..State::default() };
        Self { config, state: Mutex::new(state), changed: Event::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify(usize::MAX);
    }

    /// Returns once it is so.
    pub(super) async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            let listener = self.changed.listen();
            if is_so(&self.state()) {
                return;
            }
            listener.await;
        }
    }

    /// The next answer of the script for a request of this path; `generates` if it asks a model to
    /// say something.
    pub(super) fn next_reply(&self, path: &str, generates: bool) -> Option<Reply> {
        let mut state = self.state();
        let at = state.script.iter().position(|it| match &it.path {
            Some(end) => path.ends_with(end.as_str()),
            None => generates,
        })?;
        state.script.remove(at)
    }
}

/// What a request's handler holds: dropped before the answer's end, it says that the client left.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    number: usize,
    open: bool,
}

impl Ticket {
    /// Records a request.
    pub(super) fn new(shared: &Arc<Shared>, asked: Asked) -> Self {
        let mut number = 0;
        shared.change(|it| {
            it.asked.push_back(asked);
            if shared.config.remembered < it.asked.len() {
                it.asked.pop_front();
                it.forgotten += 1;
            }
            number = it.forgotten + it.asked.len() - 1;
        });
        Self { shared: Arc::clone(shared), number, open: true }
    }

    /// Its place among all requests, from 0.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The answer begins.
    pub(super) fn begin(&self, status: u16) {
        self.shared.change(|it| {
            if let Some(asked) = it.request(self.number) {
                asked.status = Some(status);
            }
        });
    }

    /// The answer has ended as it was meant to.
    pub(super) fn finish(&mut self) {
        self.close(|asked| asked.answered = Some(Instant::now()));
    }

    fn close(&mut self, change: impl FnOnce(&mut Asked)) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let mut closed = None;
        self.shared.change(|it| {
            if let Some(asked) = it.request(self.number) {
                change(asked);
                closed = Some(asked.clone());
            }
            it.cancelled += usize::from(closed.as_ref().is_some_and(|it| it.dropped.is_some()));
        });
        if let (Some(log), Some(asked)) = (&self.shared.config.log, closed) {
            log(&asked);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.close(|asked| asked.dropped = Some(Instant::now()));
    }
}
