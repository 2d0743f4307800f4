//! `codexd doctor`: what works, what does not, and what to do about it. It changes nothing that
//! matters: it makes the data folder if it is missing, and opens the database as a daemon would.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use brain_core::{ids::Owner, llm::LlmGateway, memory::ListOptions};
use brain_tokio::TokioClock;
use nix::sys::statvfs::statvfs;

use crate::{
    app, banner,
    client::Client,
    config::{Config, Provider},
    connection, daemon, exit,
    lock::{DataLock, Held},
    terminal::{self, Look, Style},
};

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Less free disk than this is worth a word.
const LITTLE_DISK: u64 = 512 << 20;

/// How it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    Poor,
    Broken,
}

/// One line of the table.
struct Finding {
    what: String,
    health: Health,
    detail: String,
    /// What to do.
    advice: String,
}

impl Finding {
    fn well(what: impl Into<String>, detail: impl Into<String>) -> Self {
        let (what, detail) = (what.into(), detail.into());
        Self { what, health: Health::Well, detail, advice: String::new() }
    }

    fn poor(what: &str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { health: Health::Poor, advice: advice.into(), ..Self::well(what, detail) }
    }

    fn broken(what: &str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { health: Health::Broken, advice: advice.into(), ..Self::well(what, detail) }
    }
}

/// Looks at everything and prints what it finds.
pub(crate) fn run(config: &Config, style: Style) -> anyhow::Result<u8> {
    let mut findings = vec![Finding::well("version", env!("CARGO_PKG_VERSION"))];
    findings.extend(folder(config));
    match DataLock::acquire(&config.data_dir) {
        Ok(lock) => {
            findings.push(port(config.listen));
            findings.extend(daemon::runtime()?.block_on(inside(config)));
            drop(lock);
        }
        Err(error) => findings.push(match error.downcast_ref::<Held>() {
            Some(held) => running(held),
            None => Finding::broken("data folder", format!("{error:#}"), ""),
        }),
    }
    findings.extend(config.warnings.iter().map(|it| Finding::poor("settings", it, "")));
    print(&findings, style)?;
    let is_broken = findings.iter().any(|it| it.health == Health::Broken);
    Ok(if is_broken { exit::FAILED } else { exit::OK })
}

fn print(findings: &[Finding], style: Style) -> anyhow::Result<()> {
    for Finding { what, health, detail, advice } in findings {
        let mark = match health {
            Health::Well => style.paint(Look::Green, "ok  "),
            Health::Poor => style.paint(Look::Yellow, "note"),
            Health::Broken => style.paint(Look::Red, "BAD "),
        };
        terminal::print(format_args!(
            "{mark}  {}  {detail}\n",
            style.paint(Look::Bold, &format!("{what:<12}"))
        ))?;
        if !advice.is_empty() {
            terminal::print(format_args!("{:20}{} {advice}\n", "", style.paint(Look::Dim, "->")))?;
        }
    }
    Ok(())
}

fn folder(config: &Config) -> Vec<Finding> {
    let path = config.data_dir.display().to_string();
    let existing = config.data_dir.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/"));
    let Ok(disk) = statvfs(existing) else { return vec![Finding::well("data folder", path)] };
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    let detail = format!("{path} ({} free)", bytes(free));
    let advice = "free some disk; the local model needs some 300 MB with its cache";
    let finding = if free < LITTLE_DISK {
        Finding::poor("data folder", detail, advice)
    } else {
        Finding::well("data folder", detail)
    };
    vec![finding]
}

fn running(held: &Held) -> Finding {
    let holder = held.holder.clone().unwrap_or_default();
    let Some(address) = holder.address else {
        return Finding::poor("daemon", held.to_string(), "");
    };
    let detail = format!("running on http://{address} (pid {})", holder.pid);
    let client = connection::url_of(address).map(Client::new);
    match client.and_then(|client| client.get("health/ready", &[])) {
        Ok(_) => Finding::well("daemon", format!("{detail}; it has memory and models open")),
        Err(error) => Finding::broken("daemon", format!("{detail}: {error:#}"), "look at its log"),
    }
}

fn port(listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::well("address", format!("{listen} is free; no daemon is running here")),
        Err(error) => Finding::broken(
            "address",
            format!("cannot listen on {listen}: {error}"),
            "set PORT or HOST to another one, or stop the program that has it",
        ),
    }
}

/// What needs a runtime.
async fn inside(config: &Config) -> Vec<Finding> {
    let mut findings = vec![memory(config).await];
    match app::gateways(config) {
        Ok(gateways) => {
            for (kind, gateway) in gateways {
                findings.push(provider(config, kind, gateway).await);
            }
        }
        Err(error) => findings.push(Finding::broken("provider", format!("{error:#}"), "")),
    }
    findings
}

async fn memory(config: &Config) -> Finding {
    let name = banner::memory(config);
    let Some(database) = &config.database else {
        return Finding::poor("memory", name, "unset SQLITE_DB_PATH to keep conversations");
    };
    let advice =
        "move the file away, or set SQLITE_DB_PATH to another one; a backup can be imported";
    let store = match app::open_store(config, Arc::new(TokioClock::new())) {
        Ok(store) => store,
        Err(error) => return Finding::broken("memory", format!("{error:#}"), advice),
    };
    let options = ListOptions { before: None, limit: 1000 };
    match store.list(&Owner::local(), options).await {
        Ok(sessions) => {
            let size = database.path.metadata().map_or(0, |it| it.len());
            let more = if sessions.len() < 1000 { "" } else { " or more" };
            let count = sessions.len();
            Finding::well("memory", format!("{name}, {}, {count}{more} sessions", bytes(size)))
        }
        Err(error) => Finding::broken("memory", format!("{name}: {error}"), advice),
    }
}

async fn provider(config: &Config, kind: Provider, gateway: Arc<dyn LlmGateway>) -> Finding {
    let (name, is_default) = (kind.name(), kind == config.provider);
    let default = if is_default { ", the default" } else { "" };
    let answer = tokio::time::timeout(PATIENCE, gateway.models()).await;
    let problem = match answer {
        Ok(Ok(models)) if !models.is_empty() => {
            let names: Vec<_> = models.iter().take(3).map(|it| it.id.as_str()).collect();
            let more = if 3 < models.len() { ", ..." } else { "" };
            let (count, names) = (models.len(), names.join(", "));
            return Finding::well(name, format!("{count} models: {names}{more}{default}"));
        }
        Ok(Ok(_)) => "it has no model".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    let advice = match kind {
        Provider::OpenAi => "look at OPENAI_BASE_URL and OPENAI_API_KEY".to_owned(),
        Provider::Local => banner::GET_MODEL.to_owned(),
    };
    let finding = if is_default { Finding::broken } else { Finding::poor };
    finding(name, format!("{problem}{default}"), advice)
}

fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}
