//! `codexd serve`: the daemon until a signal.

use std::{io::IsTerminal as _, time::Instant};

use brain_tokio::Signals;
use client_commands::{
    OK,
    terminal::{self, Style},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    banner,
    config::Config,
    daemon::{self, Daemon},
};

/// Serves until SIGTERM or SIGINT, then drains; a second signal stops at once.
pub(crate) fn run(config: &Config, started: Instant, style: Style) -> anyhow::Result<u8> {
    raise_open_files();
    daemon::runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        let mut daemon = Daemon::start(config, config.listen).await?;
        let (address, took) = (daemon.address(), started.elapsed());
        tracing::info!(%address, pid = std::process::id(), ready_ms = took.as_millis() as u64, "ready");
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        if std::io::stdout().is_terminal() || !config.production {
            // Whether anybody reads it does not matter to those who use the daemon.
            drop(terminal::print(format_args!("{}", banner::text(config, address, took, style))));
        }
        tokio::select! {
            _ = signals.next() => {}
            failed = daemon.failed() => failed?,
        }
        tracing::info!(grace_s = config.drain.as_secs(), "stopping; running answers may end");
        let hurry = async { _ = signals.next().await };
        daemon.stop(config.drain, hurry).await;
        tracing::info!("stopped");
        Ok(OK)
    })
}

/// Each listener is an open file; the usual soft limit of 1024 is for programs that use `select`.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
