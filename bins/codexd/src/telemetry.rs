//! Logs: to standard error, readable in development, JSON in production. What is logged is up to
//! the crates; no message of a person and no secret is.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::Config;

/// What a daemon logs in development.
const DEBUG: &str = "info,codexd=debug,brain_core=debug,http_api=debug,llm_http=debug,\
                     llm_local=debug,llm_openai=debug,memory_redis=debug,memory_sqlite=debug";

/// Installs the subscriber; without effect if the process has one. A command logs only what is
/// broken, unless told otherwise.
pub(crate) fn install(config: &Config, is_daemon: bool, no_color: bool) {
    let usual = match (is_daemon, config.production) {
        (false, _) => "error",
        (true, false) => DEBUG,
        (true, true) => "info",
    };
    let filter = EnvFilter::new(config.log.as_deref().unwrap_or(usual));
    let logs = fmt().with_env_filter(filter).with_writer(io::stderr);
    let installed = if config.production {
        logs.json().flatten_event(true).try_init()
    } else {
        logs.with_ansi(io::stderr().is_terminal() && !no_color).try_init()
    };
    drop(installed);
}
