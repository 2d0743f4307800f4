//! What a configuration means, in a few lines for people.

use std::{net::SocketAddr, time::Duration};

use client_commands::terminal::{Look, Style};

use crate::config::{Config, Embeddings, GET_MODEL};

/// Who answers.
pub(crate) fn provider(config: &Config) -> String {
    let server = config.servers.iter().find(|it| it.name == config.provider);
    if let Some(server) = server {
        let (name, url, model) = (&server.name, &server.base_url, config.model_of(server));
        return format!(
            "{name} at {url}, {}",
            if model.is_empty() { "no model chosen" } else { model }
        );
    }
    let path = &config.local.chat_model;
    match path.file_stem().filter(|_| path.is_file()) {
        Some(name) => format!("local, {} (loaded when first asked)", name.display()),
        None => format!("local, but there is no model yet: {GET_MODEL}"),
    }
}

/// Where conversations are kept.
pub(crate) fn memory(config: &Config) -> String {
    let redis = config.redis.as_ref().map(|it| format!("redis {}", it.address));
    let ends = match config.session_ttl {
        Some(ttl) => format!("ends {} s after the last message", ttl.as_secs()),
        None => "kept".to_owned(),
    };
    match (&config.database, redis) {
        (Some(database), redis) => {
            let before = redis.unwrap_or_else(|| "the process".to_owned());
            format!("sqlite {} (durable), {before} in front of it", database.path.display())
        }
        (None, Some(redis)) => format!("{redis} ({ends}, as durable as this Redis is)"),
        (None, None) => format!("in the process ({ends}, lost when it ends)"),
    }
}

/// Who finds by meaning.
pub(crate) fn embeddings(config: &Config) -> String {
    match (&config.embeddings, config.embeddings.model()) {
        (Embeddings::Off, _) => "off (search by words)".to_owned(),
        (_, Some(model)) => model,
        (_, None) => "no model, search is by words: scripts/get-model, then start again".to_owned(),
    }
}

/// What is configured, by name.
pub(crate) fn facts(config: &Config) -> [(&'static str, String); 5] {
    let summaries = match config.summary_model.as_deref() {
        None => "off",
        Some("") => "by the model that answers",
        Some(name) => name,
    };
    [
        ("provider", provider(config)),
        ("memory", memory(config)),
        ("meaning", embeddings(config)),
        ("summary", summaries.to_owned()),
        ("data", config.data_dir.display().to_string()),
    ]
}

/// The lines that greet who starts a daemon.
pub(crate) fn text(config: &Config, address: SocketAddr, took: Duration, style: Style) -> String {
    let rows = [("address", format!("http://{address}"))].into_iter().chain(facts(config));
    let rows = rows.chain([("ready in", format!("{} ms", took.as_millis()))]);
    let version = style.paint(Look::Bold, concat!("codexd ", env!("CARGO_PKG_VERSION")));
    let rows = rows
        .map(|(name, it)| format!("  {} {it}\n", style.paint(Look::Dim, &format!("{name:<8}"))));
    let url = if config.is_usual_dir { String::new() } else { format!(" --url http://{address}") };
    format!(
        "{version}\n{}  talk to it with `codexd chat{url}`; Ctrl-C ends it\n",
        rows.collect::<String>()
    )
}
