//! `codexd doctor`: what works, what does not, and what to do about it. It changes nothing that
//! matters: it makes the data folder if it is missing, opens the database as a daemon would, and
//! has the local model say a word.

use std::{fmt::Display, io, net::TcpListener, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use brain_core::{
    chat::Message,
    ids::Owner,
    llm::{ChatRequest, GenerationOptions, LlmGatewayExt as _},
    memory::{ListOptions, TierHealth},
};
use brain_tokio::{Held, TokioClock, TokioSpawner};
use client_commands::{
    Code,
    terminal::{self, Look, Style, harmless},
};
use http_client::{Client, text_of};
use nix::sys::statvfs::statvfs;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    app, banner,
    config::{Config, GET_MODEL, Provider},
    connection, daemon,
    lock::DataLock,
};

/// How long memory and providers may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the local model may take to its first word; the first time, its file is converted.
const LOADING: Duration = Duration::from_secs(60);
/// Less free disk than this is worth a word.
const LITTLE_DISK: u64 = 512 << 20;
/// What to do about a Redis that does not answer.
const AWAY: &str = "it heals by itself once Redis answers as it should; if Redis runs there, look at \
                    host, port and TLS (rediss://) in REDIS_URL, and at its ACL";
/// What to do about a Redis that answers no.
const REFUSED: &str = "it does not heal by itself: change REDIS_URL, or what this Redis allows";

type Mark = (Look, &'static str);
const OK: Mark = (Look::Green, "ok  ");
const NOTE: Mark = (Look::Yellow, "note");
const BAD: Mark = (Look::Red, "BAD ");

/// What is found, line by line.
struct Report {
    style: Style,
    is_broken: bool,
}

impl Report {
    fn row(&mut self, mark: Mark, what: &str, it: impl Display, advice: &str) -> io::Result<()> {
        self.is_broken |= mark.1 == BAD.1;
        let mark = self.style.paint(mark.0, mark.1);
        let what = self.style.paint(Look::Bold, &format!("{what:<8}"));
        let advice = if advice.is_empty() { String::new() } else { format!("{:16}{advice}\n", "") };
        terminal::print(format_args!("{mark}  {what}  {}\n{advice}", harmless(&it.to_string())))
    }

    fn tiers(&mut self, tiers: &[TierHealth]) -> io::Result<()> {
        tiers.iter().try_for_each(|TierHealth { name, problem, note }| match (problem, note) {
            (Some(problem), _) => self.row(NOTE, name, problem, ""),
            (None, Some(note)) => self.row(OK, name, note, ""),
            (None, None) => Ok(()),
        })
    }
}

/// Looks at everything and prints what it finds.
pub(crate) fn run(config: &Config, style: Style) -> anyhow::Result<u8> {
    let mut report = Report { style, is_broken: false };
    report.row(OK, "version", env!("CARGO_PKG_VERSION"), "")?;
    folder(config, &mut report)?;
    let runtime = daemon::runtime()?;
    match DataLock::acquire(config) {
        Ok(_lock) => {
            port(config, &mut report)?;
            runtime.block_on(memory(config, &mut report))?;
        }
        Err(error) => match error.downcast_ref::<Held>() {
            Some(held) => running(config, held, &mut report)?,
            None => report.row(BAD, "data", format!("{error:#}"), "")?,
        },
    }
    runtime.block_on(redis(config, &mut report))?;
    runtime.block_on(providers(config, &mut report))?;
    for warning in &config.warnings {
        report.row(NOTE, "settings", warning, "")?;
    }
    Ok(if report.is_broken { Code::Failed.exit() } else { client_commands::OK })
}

fn folder(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let path = config.data_dir.display();
    let existing = config.data_dir.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/"));
    let disk = statvfs(existing).with_context(|| format!("cannot look at the disk of {path}"))?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    let (mark, advice) = if free < LITTLE_DISK {
        (NOTE, "free some disk; the local model needs some 300 MB with its cache")
    } else {
        (OK, "")
    };
    Ok(report.row(mark, "data", format!("{path} ({} free)", terminal::bytes(free)), advice)?)
}

fn running(config: &Config, held: &Held, report: &mut Report) -> io::Result<()> {
    let Some(address) = held.holder.address else { return report.row(NOTE, "daemon", held, "") };
    let (pid, memory) = (held.holder.pid, banner::memory(config));
    let detail = format!("running on http://{address} (pid {pid})");
    let client = connection::url_of(address).map(Client::new);
    let ready = client.and_then(|client| {
        client.finds_daemon(connection::PATIENCE)?;
        Ok(client.get::<Value>("health/ready", &[])?)
    });
    match ready {
        Ok(it) => {
            report.row(OK, "daemon", format!("{detail}: {}; {memory}", text_of(&it, "status")), "")
        }
        Err(error) => report.row(BAD, "daemon", format!("{detail}: {error:#}"), "look at its log"),
    }
}

fn port(config: &Config, report: &mut Report) -> io::Result<()> {
    let listen = config.listen;
    let advice = "set PORT or HOST to another one, or stop the program that has it";
    match TcpListener::bind(listen) {
        Ok(_) => report.row(OK, "address", format!("{listen} is free; no daemon runs here"), ""),
        Err(error) => {
            report.row(BAD, "address", format!("cannot listen on {listen}: {error}"), advice)
        }
    }
}

async fn memory(config: &Config, report: &mut Report) -> io::Result<()> {
    let looked = timeout(PATIENCE, async {
        let (clock, spawner) = (Arc::new(TokioClock::new()), TokioSpawner::current());
        let store = app::open_store(config, clock, spawner)?;
        let (health, page) = (store.health().await?, ListOptions { before: None, limit: 1000 });
        anyhow::Ok((health, store.list(&Owner::local(), page).await?.len()))
    });
    let late = |_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs()));
    let (mut health, sessions) = match looked.await.unwrap_or_else(late) {
        Ok(it) => it,
        Err(error) => return report.row(BAD, "memory", format!("{error:#}"), ""),
    };
    let more = if sessions < 1000 { "" } else { " or more" };
    let detail = format!("{}, sessions: {sessions}{more}", banner::memory(config));
    report.row(OK, "memory", detail, "")?;
    health.tiers.retain(|it| it.name != "redis");
    report.tiers(&health.tiers)?;
    if config.database.is_some() {
        return Ok(());
    }
    report.row(NOTE, "memory", "nothing is kept on the disk", "unset SQLITE_DB_PATH to keep it")
}

/// Asks Redis itself: memory that does without it does not wait for it.
async fn redis(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let Some(redis) = &config.redis else { return Ok(()) };
    let error = match app::open_redis(redis, config.session_ttl, None)?.health().await {
        Ok(health) => return Ok(report.tiers(&health.tiers)?),
        Err(error) => error,
    };
    let (mark, advice) = match (app::lets_in(&error), &config.database) {
        (true, Some(_)) => (NOTE, AWAY),
        (true, None) => (BAD, AWAY),
        (false, _) => (BAD, REFUSED),
    };
    // The first only says that memory does not work.
    let error = anyhow::Error::from(error);
    let causes: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
    Ok(report.row(mark, "redis", causes.join(": ").replace('\n', " "), advice)?)
}

async fn providers(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let mut listed = Vec::new();
    for (kind, gateway) in app::gateways(config)? {
        let (patience, advice) = match kind {
            Provider::OpenAi => (PATIENCE, "look at OPENAI_BASE_URL and OPENAI_API_KEY"),
            Provider::Local => (LOADING, GET_MODEL),
        };
        let (bad, default) =
            if kind == config.provider { (BAD, " (the default)") } else { (NOTE, "") };
        let asked = timeout(patience, async {
            let models = gateway.models().await?.models;
            // Whether its file is whole shows only then, and it costs nothing.
            if kind == Provider::Local && kind == config.provider && !models.is_empty() {
                gateway.complete(one_word()).await?;
            }
            listed.extend(models.iter().map(|it| format!("{}/{}", kind.name(), it.id)));
            anyhow::Ok(models)
        });
        let problem = match asked.await {
            Ok(Ok(models)) if !models.is_empty() => {
                let names: Vec<_> = models.iter().take(3).map(|it| it.id.as_str()).collect();
                let more = if 3 < models.len() { ", ..." } else { "" };
                let names = format!("{}{more}{default}", names.join(", "));
                report.row(OK, kind.name(), names, "")?;
                continue;
            }
            Ok(Ok(_)) => "it has no model".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", patience.as_secs()),
        };
        report.row(bad, kind.name(), format!("{problem}{default}"), advice)?;
    }
    Ok(models(config, &listed, report)?)
}

fn one_word() -> ChatRequest {
    let options = GenerationOptions { max_tokens: Some(1), ..GenerationOptions::default() };
    let messages = vec![Arc::new(Message::user("Hi"))];
    ChatRequest { messages, options, ..ChatRequest::default() }
}

/// The models that settings name, and whether their providers list them.
fn models(config: &Config, listed: &[String], report: &mut Report) -> io::Result<()> {
    let embeddings = config.embeddings.model();
    if embeddings.is_none() {
        report.row(NOTE, "meaning", banner::embeddings(config), "")?;
    }
    let named = [
        ("model", "MODEL", config.model.clone()),
        ("summary", "SUMMARY_MODEL", config.summary_model.clone()),
        ("meaning", "EMBEDDING_MODEL", embeddings),
    ];
    for (what, setting, name) in named {
        let Some(name) = name.filter(|it| !it.is_empty()) else { continue };
        let is_full = name.starts_with("openai/") || name.starts_with("local/");
        let name = if is_full { name } else { format!("{}/{name}", config.provider.name()) };
        let is_listed = listed.iter().any(|it| it.eq_ignore_ascii_case(&name));
        let advice = format!(
            "its provider lists no such model; `codexd models` shows them, {setting} chooses"
        );
        // A server may have more than it lists.
        let bad = if name.starts_with("openai/") { NOTE } else { BAD };
        let (mark, advice) = if is_listed { (OK, "") } else { (bad, advice.as_str()) };
        report.row(mark, what, name, advice)?;
    }
    Ok(())
}
