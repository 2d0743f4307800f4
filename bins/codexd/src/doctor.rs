//! `codexd doctor`: what works, what does not, and what to do about it. It changes nothing that
//! matters: it makes the data folder if it is missing, opens the database as a daemon would, and
//! has the local model say a word.

use std::{io, net::TcpListener, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use brain_core::{
    ids::Owner,
    memory::{ListOptions, TierHealth},
};
use brain_tokio::{Held, TokioClock, TokioSpawner};
use client_commands::{
    Code, Mark, Report,
    terminal::{self, Style},
};
use http_client::{Client, text_of};
use nix::sys::statvfs::statvfs;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    app, banner,
    config::Config,
    connection, daemon,
    lock::DataLock,
    probe::{self, Probe},
};

/// How long memory may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Less free disk than this is worth a word.
const LITTLE_DISK: u64 = 512 << 20;
/// What to do about a Redis that does not answer.
const AWAY: &str = "it heals by itself once Redis answers as it should; if Redis runs there, look at \
                    host, port and TLS (rediss://) in REDIS_URL, and at its ACL";
/// What to do about a Redis that answers no.
const REFUSED: &str = "it does not heal by itself: change REDIS_URL, or what this Redis allows";

/// Looks at everything and prints what it finds.
pub(crate) fn run(config: &Config, style: Style) -> anyhow::Result<u8> {
    let mut report = Report::new(style);
    report.row(Mark::Well, "version", env!("CARGO_PKG_VERSION"), "")?;
    folder(config, &mut report)?;
    let runtime = daemon::runtime()?;
    match DataLock::acquire(config) {
        Ok(_lock) => {
            port(config, &mut report)?;
            runtime.block_on(memory(config, &mut report))?;
        }
        Err(error) => match error.downcast_ref::<Held>() {
            Some(held) => running(config, held, &mut report)?,
            None => report.row(Mark::Bad, "data", format!("{error:#}"), "")?,
        },
    }
    runtime.block_on(redis(config, &mut report))?;
    runtime.block_on(providers(config, &mut report))?;
    for warning in &config.warnings {
        report.row(Mark::Note, "settings", warning, "")?;
    }
    Ok(if report.is_broken() { Code::Failed.exit() } else { client_commands::OK })
}

fn tiers(tiers: &[TierHealth], report: &mut Report) -> io::Result<()> {
    tiers.iter().try_for_each(|TierHealth { name, problem, note }| match (problem, note) {
        (Some(problem), _) => report.row(Mark::Note, name, problem, ""),
        (None, Some(note)) => report.row(Mark::Well, name, note, ""),
        (None, None) => Ok(()),
    })
}

fn folder(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let path = config.data_dir.display();
    let existing = config.data_dir.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/"));
    let disk = statvfs(existing).with_context(|| format!("cannot look at the disk of {path}"))?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    let (mark, advice) = if free < LITTLE_DISK {
        (Mark::Note, "free some disk; the local model needs some 300 MB with its cache")
    } else {
        (Mark::Well, "")
    };
    Ok(report.row(mark, "data", format!("{path} ({} free)", terminal::bytes(free)), advice)?)
}

fn running(config: &Config, held: &Held, report: &mut Report) -> io::Result<()> {
    let Some(address) = held.holder.address else {
        return report.row(Mark::Note, "daemon", held, "");
    };
    let (pid, memory) = (held.holder.pid, banner::memory(config));
    let detail = format!("running on http://{address} (pid {pid})");
    let client = connection::url_of(address).map(Client::new);
    let ready = client.and_then(|client| {
        client.finds_daemon(connection::PATIENCE)?;
        Ok(client.get::<Value>("health/ready", &[])?)
    });
    match ready {
        Ok(it) => report.row(
            Mark::Well,
            "daemon",
            format!("{detail}: {}; {memory}", text_of(&it, "status")),
            "",
        ),
        Err(error) => {
            report.row(Mark::Bad, "daemon", format!("{detail}: {error:#}"), "look at its log")
        }
    }
}

fn port(config: &Config, report: &mut Report) -> io::Result<()> {
    let listen = config.listen;
    let advice = "set PORT or HOST to another one, or stop the program that has it";
    match TcpListener::bind(listen) {
        Ok(_) => {
            report.row(Mark::Well, "address", format!("{listen} is free; no daemon runs here"), "")
        }
        Err(error) => {
            report.row(Mark::Bad, "address", format!("cannot listen on {listen}: {error}"), advice)
        }
    }
}

async fn memory(config: &Config, report: &mut Report) -> io::Result<()> {
    let looked = timeout(PATIENCE, async {
        let (clock, spawner) = (Arc::new(TokioClock::new()), TokioSpawner::current());
        let (store, _) = app::open_store(config, clock, spawner)?;
        let (health, page) = (store.health().await?, ListOptions { before: None, limit: 1000 });
        anyhow::Ok((health, store.list(&Owner::local(), page).await?.len()))
    });
    let late = |_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs()));
    let (mut health, sessions) = match looked.await.unwrap_or_else(late) {
        Ok(it) => it,
        Err(error) => return report.row(Mark::Bad, "memory", format!("{error:#}"), ""),
    };
    let more = if sessions < 1000 { "" } else { " or more" };
    let detail = format!("{}, sessions: {sessions}{more}", banner::memory(config));
    report.row(Mark::Well, "memory", detail, "")?;
    health.tiers.retain(|it| it.name != "redis");
    tiers(&health.tiers, report)?;
    if config.database.is_some() {
        return Ok(());
    }
    report.row(
        Mark::Note,
        "memory",
        "nothing is kept on the disk",
        "unset SQLITE_DB_PATH to keep it",
    )
}

/// Asks Redis itself: memory that does without it does not wait for it.
async fn redis(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let Some(redis) = &config.redis else { return Ok(()) };
    let error = match app::open_redis(redis, config.session_ttl, None)?.health().await {
        Ok(health) => return Ok(tiers(&health.tiers, report)?),
        Err(error) => error,
    };
    let (mark, advice) = match (app::lets_in(&error), &config.database) {
        (true, Some(_)) => (Mark::Note, AWAY),
        (true, None) => (Mark::Bad, AWAY),
        (false, _) => (Mark::Bad, REFUSED),
    };
    // The first only says that memory does not work.
    let error = anyhow::Error::from(error);
    let causes: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
    Ok(report.row(mark, "redis", causes.join(": ").replace('\n', " "), advice)?)
}

async fn providers(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let mut listed = Vec::new();
    for Probe { name, models, is_default } in probe::all(config).await? {
        let (bad, default) =
            if is_default { (Mark::Bad, " (the default)") } else { (Mark::Note, "") };
        match models {
            Ok(models) => {
                let more = if 3 < models.len() { ", ..." } else { "" };
                let first = models.iter().take(3).map(String::as_str).collect::<Vec<_>>();
                report.row(Mark::Well, name, format!("{}{more}{default}", first.join(", ")), "")?;
                listed.extend(models.iter().map(|it| format!("{name}/{it}")));
            }
            Err(problem) => report.row(bad, name, format!("{problem}{default}"), "")?,
        }
    }
    Ok(models(config, &listed, report)?)
}

/// The models that settings name, and whether their providers list them.
fn models(config: &Config, listed: &[String], report: &mut Report) -> io::Result<()> {
    let embeddings = config.embeddings.model();
    if embeddings.is_none() {
        report.row(Mark::Note, "meaning", banner::embeddings(config), "")?;
    }
    let named = [
        ("model", "MODEL", config.model.clone()),
        ("summary", "SUMMARY_MODEL", config.summary_model.clone()),
        ("meaning", "EMBEDDING_MODEL", embeddings),
    ];
    for (what, setting, name) in named {
        let Some(name) = name.filter(|it| !it.is_empty()) else { continue };
        let is_full = name.split_once('/').is_some_and(|(first, _)| config.has_provider(first));
        let name = if is_full { name } else { format!("{}/{name}", config.provider) };
        let is_listed = listed.iter().any(|it| it.eq_ignore_ascii_case(&name));
        let advice = format!(
            "its provider lists no such model; `codexd models` shows them, {setting} chooses"
        );
        // A server may have more than it lists.
        let bad = if name.starts_with("local/") { Mark::Bad } else { Mark::Note };
        let (mark, advice) = if is_listed { (Mark::Well, "") } else { (bad, advice.as_str()) };
        report.row(mark, what, name, advice)?;
    }
    Ok(())
}
