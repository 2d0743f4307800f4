//! Finding a daemon to speak to: the one that is named, the one on the data folder, or one that is
//! started in this process for as long as the command runs.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use brain_tokio::Held;
use client_commands::{Failure, terminal};
use http_client::Client;
use tokio::runtime::Runtime;
use url::Url;

use crate::{
    config::Config,
    daemon::{self, Daemon},
};

/// How long another process may take from the lock to its address.
const STARTING: Duration = Duration::from_secs(5);
/// How long a daemon that listens may take until it says that it is one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long what an answer leaves to be done, such as a title, may take in a daemon of ours.
const LAST_JOBS: Duration = Duration::from_secs(3);

/// Does `work` with a daemon.
pub(crate) fn with<T>(
    url: Option<Url>,
    config: &Config,
    work: impl FnOnce(&Client) -> Result<T, Failure>,
) -> anyhow::Result<T> {
    let (client, own) = match url {
        Some(url) => {
            let client = Client::new(url);
            // One that hangs is not waited for; a proxy may answer for the daemon in its own way.
            client.finds_daemon(PATIENCE).map_err(Failure::from)?;
            (client, None)
        }
        None => open(config)?,
    };
    let done = work(&client);
    if let Some((runtime, daemon)) = own {
        let grace = if done.is_ok() { LAST_JOBS } else { Duration::ZERO };
        runtime.block_on(daemon.stop(grace, std::future::pending()));
        // A model that still computes holds nothing that matters.
        runtime.shutdown_background();
    }
    Ok(done?)
}

/// A client, and the daemon if it is ours.
fn open(config: &Config) -> anyhow::Result<(Client, Option<(Runtime, Daemon)>)> {
    // A daemon that a script started has another folder than the usual one.
    if config.is_usual_dir {
        let url = url_of(config.listen)?;
        let client = Client::new(url.clone());
        // Whoever does not know whether one is there must not begin another memory.
        if client.finds_daemon(PATIENCE).map_err(Failure::from)? {
            if !config.data_dir.join("daemon.json").exists() {
                terminal::warn(format_args!("codexd: speaking to the daemon at {url}\n"));
            }
            return Ok((client, None));
        }
    }
    let deadline = Instant::now() + STARTING;
    loop {
        let runtime = daemon::runtime()?;
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let error = match runtime.block_on(Daemon::start(config, listen)) {
            Ok(daemon) => {
                return Ok((Client::new(url_of(daemon.address())?), Some((runtime, daemon))));
            }
            Err(error) => error,
        };
        let Some(held) = error.downcast_ref::<Held>() else { return Err(error) };
        if let Some(address) = held.holder.address {
            let client = Client::new(url_of(address)?);
            client.finds_daemon(PATIENCE).map_err(Failure::from)?;
            return Ok((client, None));
        }
        if deadline < Instant::now() {
            return Err(error);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// How to reach a daemon on this machine that listens on `address`.
pub(crate) fn url_of(address: SocketAddr) -> anyhow::Result<Url> {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    Url::parse(&format!("http://{}", SocketAddr::new(host, address.port()))).context("no URL")
}
