//! What a configuration means, in a few lines for people.

use std::{net::SocketAddr, time::Duration};

use crate::{
    config::{Config, GET_MODEL, OPENAI_MODEL, Provider},
    terminal::{Look, Style},
};

/// Who answers.
pub(crate) fn provider(config: &Config) -> String {
    match config.provider {
        Provider::OpenAi => {
            let url = config.openai.as_ref().map_or("", |it| it.base_url.as_str());
            format!("openai at {url}, {}", config.model.as_deref().unwrap_or(OPENAI_MODEL))
        }
        Provider::Local => {
            let path = &config.local.chat_model;
            match path.file_stem().filter(|_| path.is_file()) {
                Some(name) => format!("local, {} (loaded when first asked)", name.display()),
                None => format!("local, but there is no model yet: {GET_MODEL}"),
            }
        }
    }
}

/// Where conversations are kept.
pub(crate) fn memory(config: &Config) -> String {
    match &config.database {
        Some(database) => format!("sqlite {} (durable)", database.path.display()),
        None => "in the process (lost when it ends)".to_owned(),
    }
}

/// The lines that greet who starts a daemon.
pub(crate) fn text(config: &Config, address: SocketAddr, took: Duration, style: Style) -> String {
    let rows = [
        ("address", format!("http://{address}")),
        ("provider", provider(config)),
        ("memory", memory(config)),
        ("data", config.data_dir.display().to_string()),
        ("ready in", format!("{} ms", took.as_millis())),
    ];
    let version = style.paint(Look::Bold, concat!("codexd ", env!("CARGO_PKG_VERSION")));
    let rows = rows
        .map(|(name, it)| format!("  {} {it}\n", style.paint(Look::Dim, &format!("{name:<8}"))));
    let url = if config.is_usual_dir { String::new() } else { format!(" --url http://{address}") };
    format!("{version}\n{}  talk to it with `codexd chat{url}`; Ctrl-C ends it\n", rows.concat())
}
