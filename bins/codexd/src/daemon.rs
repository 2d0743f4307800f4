//! The daemon in this process: from the lock on its folder to the last answer.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context as _, anyhow};
pub use brain_tokio::runtime;
use client_commands::{Code, Failure};
use http_api::{Api, ApiConfig};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, App},
    config::Config,
    lock::DataLock,
};

/// How long connections may stay open once no turn runs.
const CLOSING: Duration = Duration::from_secs(2);

/// A daemon that serves.
#[derive(Debug)]
pub struct Daemon {
    app: App,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinSet<io::Result<()>>,
    // Last, so that the folder is free only when nothing uses it.
    lock: DataLock,
}

impl Daemon {
    /// Takes the data folder, opens memory, ends what a predecessor left open, and listens.
    ///
    /// # Errors
    ///
    /// [`brain_tokio::Held`] if another process has the folder; else a sentence that says what to
    /// do.
    pub async fn start(config: &Config, listen: SocketAddr) -> anyhow::Result<Self> {
        let lock = DataLock::acquire(config)?;
        let app = app::build(config)?;
        // What other daemons share may hold their turns.
        if !app.brain.ports().store.capabilities().shared {
            let ended = app.brain.recover().await.context("cannot read the last run's turns")?;
            if 0 < ended {
                tracing::warn!(turns = ended, "ended the turns that the last run left open");
            }
        }
        let listener =
            TcpListener::bind(listen).await.map_err(|error| bind_error(listen, error))?;
        let address = listener.local_addr().context("cannot tell the port")?;
        lock.publish(Some(address))?;
        app.brain.start_upkeep();
        let stop = CancellationToken::new();
        let api = Api::new(app.brain.clone(), api_config(config, &app));
        let stopped = stop.clone().cancelled_owned();
        let mut server = JoinSet::new();
        server.spawn(async move { api.serve(listener, stopped).await });
        Ok(Self { app, address, stop, server, lock })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns if the server ends by itself, which it should not: why.
    pub(crate) async fn failed(&mut self) -> anyhow::Result<()> {
        let ended = self.server.join_next().await;
        ended.context("the server has not been started")?.context("the server broke")??;
        Err(anyhow!("the server has stopped"))
    }

    /// Stops accepting, lets running turns end for `grace` or until `hurry`, then stops them.
    /// Returns how many had to be stopped.
    pub async fn stop(mut self, grace: Duration, hurry: impl Future<Output = ()>) -> usize {
        self.stop.cancel();
        let stopped = tokio::select! {
            stopped = self.app.brain.drain(grace) => stopped,
            () = hurry => self.app.brain.drain(Duration::ZERO).await,
        };
        if 0 < stopped {
            tracing::warn!(turns = stopped, "stopped turns; what there is of them is kept");
        }
        if timeout(CLOSING, self.server.join_next()).await.is_err() {
            tracing::info!("closed connections that clients kept open");
            self.server.shutdown().await;
        }
        drop(timeout(CLOSING, self.app.spawner.wait()).await);
        drop(self.lock);
        stopped
    }
}

fn api_config(config: &Config, app: &App) -> ApiConfig {
    let default = ApiConfig::default();
    ApiConfig {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        allowed_hosts: config.allowed_hosts.clone(),
        max_body_bytes: config.max_body_bytes,
        max_import_bytes: config.max_import_bytes,
        spool_dir: Some(config.data_dir.clone()),
        max_held_bytes: default.max_held_bytes.max(config.max_body_bytes),
        checks: app.checks.clone(),
        drain: config.drain + CLOSING,
        ..default
    }
}

fn bind_error(listen: SocketAddr, error: io::Error) -> Failure {
    let (host, port) = (listen.ip(), listen.port());
    let sentence = match error.kind() {
        io::ErrorKind::AddrInUse => "is in use; set PORT to another one (0 takes a free one)",
        io::ErrorKind::PermissionDenied => "is reserved; set PORT to one from 1024 on",
        io::ErrorKind::AddrNotAvailable => {
            "is no port here; set HOST to an address of this machine"
        }
        _ => {
            let sentence = format!("cannot listen on {listen}");
            return Failure::new(Code::IoError, sentence).with_source(error);
        }
    };
    let in_use = error.kind() == io::ErrorKind::AddrInUse;
    let code = if in_use { Code::AddressInUse } else { Code::AddressUnavailable };
    Failure::new(code, format!("port {port} of {host} {sentence}"))
}
