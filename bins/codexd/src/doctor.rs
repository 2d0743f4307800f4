//! `codexd doctor`: what works, what does not, and what to do about it. It changes nothing that
//! matters: it makes the data folder if it is missing, and opens the database as a daemon would.

use std::{fmt::Display, io, net::TcpListener, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use brain_core::{
    ids::Owner,
    llm::LlmGateway,
    memory::{ListOptions, TierHealth},
};
use brain_tokio::{Held, TokioClock, TokioSpawner};
use http_client::{Client, text};
use indicatif::HumanBytes;
use nix::sys::statvfs::statvfs;
use tokio::time::timeout;

use crate::{
    app, banner,
    config::{Config, GET_MODEL, Provider},
    connection, daemon, exit,
    lock::DataLock,
    terminal::{self, Look, Style},
};

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Less free disk than this is worth a word.
const LITTLE_DISK: u64 = 512 << 20;

type Mark = (Look, &'static str);

/// What is found, line by line.
struct Report {
    style: Style,
    is_broken: bool,
}

impl Report {
    fn well(&mut self, what: &str, detail: impl Display) -> io::Result<()> {
        self.line((Look::Green, "ok  "), what, detail, "")
    }

    fn poor(&mut self, what: &str, detail: impl Display, advice: &str) -> io::Result<()> {
        self.line((Look::Yellow, "note"), what, detail, advice)
    }

    fn broken(&mut self, what: &str, detail: impl Display, advice: &str) -> io::Result<()> {
        self.is_broken = true;
        self.line((Look::Red, "BAD "), what, detail, advice)
    }

    fn line(&self, mark: Mark, what: &str, detail: impl Display, advice: &str) -> io::Result<()> {
        let mark = self.style.paint(mark.0, mark.1);
        let what = self.style.paint(Look::Bold, &format!("{what:<8}"));
        let advice = if advice.is_empty() { String::new() } else { format!("{:16}{advice}\n", "") };
        terminal::print(format_args!("{mark}  {what}  {detail}\n{advice}"))
    }
}

/// Looks at everything and prints what it finds.
pub(crate) fn run(config: &Config, style: Style) -> anyhow::Result<u8> {
    let mut report = Report { style, is_broken: false };
    report.well("version", env!("CARGO_PKG_VERSION"))?;
    folder(config, &mut report)?;
    match DataLock::acquire(config) {
        Ok(lock) => {
            port(config, &mut report)?;
            daemon::runtime()?.block_on(memory(config, &mut report))?;
            drop(lock);
        }
        Err(error) => match error.downcast_ref::<Held>() {
            Some(held) => running(config, held, &mut report)?,
            None => report.broken("data", format!("{error:#}"), "")?,
        },
    }
    daemon::runtime()?.block_on(providers(config, &mut report))?;
    for warning in &config.warnings {
        report.poor("settings", warning, "")?;
    }
    Ok(if report.is_broken { exit::FAILED } else { exit::OK })
}

fn folder(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let path = config.data_dir.display();
    let existing = config.data_dir.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/"));
    let disk = statvfs(existing).with_context(|| format!("cannot look at the disk of {path}"))?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    let detail = format!("{path} ({} free)", HumanBytes(free));
    if free < LITTLE_DISK {
        let advice = "free some disk; the local model needs some 300 MB with its cache";
        return Ok(report.poor("data", detail, advice)?);
    }
    Ok(report.well("data", detail)?)
}

fn running(config: &Config, held: &Held, report: &mut Report) -> io::Result<()> {
    let Some(address) = held.holder.address else { return report.poor("daemon", held, "") };
    let (pid, memory) = (held.holder.pid, banner::memory(config));
    let detail = format!("running on http://{address} (pid {pid})");
    let client = connection::url_of(address).map(Client::new);
    match client.and_then(|client| Ok(client.get("health/ready", &[])?)) {
        Ok(it) => report.well("daemon", format!("{detail}: {}; {memory}", text(&it, "status"))),
        Err(error) => report.broken("daemon", format!("{detail}: {error:#}"), "look at its log"),
    }
}

fn port(config: &Config, report: &mut Report) -> io::Result<()> {
    match TcpListener::bind(config.listen) {
        Ok(_) => report.well("address", format!("{} is free; no daemon runs here", config.listen)),
        Err(error) => report.broken(
            "address",
            format!("cannot listen on {}: {error}", config.listen),
            "set PORT or HOST to another one, or stop the program that has it",
        ),
    }
}

async fn providers(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    for (kind, gateway) in app::gateways(config)? {
        provider(kind, kind == config.provider, &*gateway, report).await?;
    }
    Ok(())
}

async fn memory(config: &Config, report: &mut Report) -> io::Result<()> {
    let name = banner::memory(config);
    let advice = "move the file away, or set SQLITE_DB_PATH to another one";
    let opened = app::open_store(config, Arc::new(TokioClock::new()), TokioSpawner::current());
    let store = match opened {
        Ok(store) => store,
        Err(error) => return report.broken("memory", format!("{error:#}"), advice),
    };
    let health = match timeout(PATIENCE, store.health()).await {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => {
            return report.broken(
                "memory",
                format!("{name}: {:#}", anyhow::Error::from(error)),
                "",
            );
        }
        Err(_) => return report.broken("memory", format!("{name}: no answer"), ""),
    };
    match store.list(&Owner::local(), ListOptions { before: None, limit: 1000 }).await {
        Ok(sessions) => {
            let more = if sessions.len() < 1000 { "" } else { " or more" };
            report.well("memory", format!("{name}, sessions: {}{more}", sessions.len()))
        }
        Err(error) => {
            report.broken("memory", format!("{name}: {:#}", anyhow::Error::from(error)), advice)
        }
    }?;
    for TierHealth { name, problem, note } in &health.tiers {
        match (problem, note) {
            (Some(problem), _) => report.poor(name, problem, "it heals by itself once it is back"),
            (None, Some(note)) => report.well(name, note),
            (None, None) => Ok(()),
        }?;
    }
    if config.database.is_none() {
        report.poor("memory", "nothing is kept on the disk", "unset SQLITE_DB_PATH to keep it")?;
    }
    Ok(())
}

async fn provider(
    kind: Provider,
    is_default: bool,
    gateway: &dyn LlmGateway,
    report: &mut Report,
) -> io::Result<()> {
    let default = if is_default { " (the default)" } else { "" };
    let problem = match timeout(PATIENCE, gateway.models()).await {
        Ok(Ok(models)) if !models.is_empty() => {
            let names: Vec<_> = models.iter().take(3).map(|it| it.id.as_str()).collect();
            let more = if 3 < models.len() { ", ..." } else { "" };
            return report.well(kind.name(), format!("{}{more}{default}", names.join(", ")));
        }
        Ok(Ok(_)) => "it has no model".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    let advice = match kind {
        Provider::OpenAi => "look at OPENAI_BASE_URL and OPENAI_API_KEY",
        Provider::Local => GET_MODEL,
    };
    let detail = format!("{problem}{default}");
    if is_default {
        report.broken(kind.name(), detail, advice)
    } else {
        report.poor(kind.name(), detail, advice)
    }
}
