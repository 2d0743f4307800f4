//! How the surface behaves, as values; whoever starts it decides where they come from.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

/// How the surface behaves.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The version that `GET /` names.
    pub version: String,
    /// Hosts that requests may name besides `localhost`, loopback addresses and the address that a
    /// request was sent to; without a port, `*` for any.
    pub allowed_hosts: Vec<String>,
    /// Most bytes of a request's body.
    pub max_body_bytes: usize,
    /// Most bytes of the body of an import, which waits on the disk until it is read.
    pub max_import_bytes: u64,
    /// Most bytes of one session of an import, which is held while it is put back.
    pub max_session_bytes: usize,
    /// The folder where bodies wait on the disk; `None` is the system's for temporary files.
    pub spool_dir: Option<PathBuf>,
    /// Most bytes of all bodies that are held at once.
    pub max_held_bytes: usize,
    /// Most requests at once, streams included.
    pub max_requests: usize,
    /// Most connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// How long a stream may be silent before it gets a heartbeat.
    pub heartbeat: Duration,
    /// How long a client may take to send the head of a request, or be idle between two requests.
    pub head_timeout: Duration,
    /// How long a client may pause within the body of a request.
    pub body_timeout: Duration,
    /// How long a client may take nothing of what is sent to it before it is cut.
    pub write_timeout: Duration,
    /// How long open requests may go on once the service is to end.
    pub drain: Duration,
    /// What `GET /health/ready` asks besides memory.
    pub checks: Vec<Arc<dyn HealthCheck>>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            allowed_hosts: Vec::new(),
            max_body_bytes: 8 * 1024 * 1024,
            max_import_bytes: 1024 * 1024 * 1024,
            max_session_bytes: 64 * 1024 * 1024,
            spool_dir: None,
            max_held_bytes: 128 * 1024 * 1024,
            max_requests: 1_024,
            max_connections: 1_024,
            heartbeat: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            checks: Vec::new(),
        }
    }
}

/// Something without which the service is degraded, but still acknowledges turns.
#[async_trait]
pub trait HealthCheck: fmt::Debug + Send + Sync + 'static {
    /// A short name: `model`, `disk`.
    fn name(&self) -> &str;

    /// Whether it is well now.
    ///
    /// # Errors
    ///
    /// A sentence for operators that says what is wrong and what to do, without secrets.
    async fn check(&self) -> Result<(), String>;
}
