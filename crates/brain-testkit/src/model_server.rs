//! A model server with faults, for tests and for trying codexd out.
//!
//! It speaks the wires of OpenAI, Azure OpenAI, TabbyML and Ollama on one port, over HTTP/1.1 and
//! HTTP/2 without TLS. Answers come from a script, in the words of [`Answer`](crate::Answer), else
//! from a seed. No model is behind it.

mod azure;
mod call;
mod fault;
mod frame;
mod link;
mod ollama;
mod openai;
mod play;
mod prompt;
mod record;
mod refusal;
mod reply;
mod serve;
mod speaker;
mod tabby;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use self::record::Shared;
pub use self::{
    fault::{At, FAULTS, Fault, UnknownFault},
    record::Asked,
    reply::Reply,
};

/// A wire that the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// OpenAI's, below `/v1`.
    OpenAi,
    /// Azure OpenAI's, below `/openai`.
    Azure,
    /// TabbyML's, below `/tabby`; what only Tabby has is also at its own paths.
    TabbyMl,
    /// Ollama's own, below `/api`.
    Ollama,
}

/// Told of each request when its answer has ended.
pub type Log = Arc<dyn Fn(&Asked) + Send + Sync>;

/// What a server does.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Its answers, in order; what is asked beyond them is answered from the seed.
    pub script: Vec<Reply>,
    /// What answers depend on besides the request.
    pub seed: u64,
    /// Pieces of a streamed answer in a second; 0 is as fast as it can.
    pub words_a_second: u32,
    /// Whether answers that are asked for as streams come as such; some servers know no streams.
    pub streams: bool,
    /// The models that there are, the default first. `mock/FAULT` is one always.
    pub models: Vec<String>,
    /// The key that requests must have, on wires with keys; `None` takes any.
    pub api_key: Option<String>,
    /// How many requests are remembered.
    pub remembered: usize,
    /// Told of each request.
    pub log: Option<Log>,
}

impl Default for ServerConfig {
    /// A free port of this machine, no script, `mock` and `mock-embed`, no key.
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            script: Vec::new(),
            seed: 0,
            words_a_second: 0,
            streams: true,
            models: ["mock", "mock-embed"].map(str::to_owned).into(),
            api_key: None,
            remembered: 1_000_000,
            log: None,
        }
    }
}

impl ServerConfig {
    fn pace(&self) -> Option<Duration> {
        (self.words_a_second != 0).then(|| Duration::from_secs(1) / self.words_a_second)
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The server, on threads of its own; it ends when it is dropped.
///
/// ```
/// use brain_testkit::{Answer, model_server::{Fault, ModelServer, Reply, Wire}};
///
/// let server = ModelServer::start([
///     Reply::from(Answer::new().call("c1", "clock", "{}").finish()),
///     Reply::from(Answer::text("It is noon.")).with("cut:200".parse::<Fault>()?),
/// ]);
/// assert!(server.base_url(Wire::OpenAi).ends_with("/v1"));
/// # Ok::<(), brain_testkit::model_server::UnknownFault>(())
/// ```
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl ModelServer {
    /// A server on a free port of this machine that plays these answers, then the seed's.
    ///
    /// # Panics
    ///
    /// When this machine has no port.
    #[must_use]
    pub fn start(script: impl IntoIterator<Item = impl Into<Reply>>) -> Self {
        let script = script.into_iter().map(Into::into).collect();
        Self::with(ServerConfig { script, ..ServerConfig::default() }).unwrap()
    }

    /// A server that does what `config` says.
    ///
    /// # Errors
    ///
    /// When the address cannot be had, or threads cannot.
    pub fn with(config: ServerConfig) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(config.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shared = Arc::new(Shared::new(config));
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        drop(entered);
        runtime.spawn(serve::accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The base URL that a client of this wire is configured with. Azure's is the resource.
    #[must_use]
    pub fn base_url(&self, wire: Wire) -> String {
        let url = self.url();
        match wire {
            Wire::OpenAi => format!("{url}/v1"),
            Wire::TabbyMl => format!("{url}/tabby"),
            Wire::Azure | Wire::Ollama => url,
        }
    }

    /// Adds an answer to the script.
    pub fn push(&self, reply: impl Into<Reply>) {
        let reply = reply.into();
        self.shared.change(|it| it.script.push_back(reply));
    }

    /// What it was asked so far, and what became of it.
    #[must_use]
    pub fn requests(&self) -> Vec<Asked> {
        self.shared.state().asked.iter().cloned().collect()
    }

    /// Connections that clients have made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// How many answers clients gave up before their end.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.shared.state().cancelled
    }

    /// Returns once it has been asked `count` times.
    pub async fn asked(&self, count: usize) {
        self.shared.until(|it| count <= it.forgotten + it.asked.len()).await;
    }

    /// Returns once clients have given up `count` answers before their end.
    pub async fn dropped(&self, count: usize) {
        self.shared.until(|it| count <= it.cancelled).await;
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelServer").field("address", &self.address).finish_non_exhaustive()
    }
}
