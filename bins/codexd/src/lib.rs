//! The brain daemon: settings, wiring, and the command line.
//!
//! It holds no logic that another service would want; that is in the crates it joins. The
//! commands that talk speak HTTP to a daemon, the running one or one in their own process, so
//! that there is one way into the brain.

mod app;
mod banner;
mod cli;
#[cfg_attr(
    not(all(feature = "sqlite", feature = "redis", feature = "openai", feature = "local")),
    expect(dead_code, reason = "settings are read whatever is built in")
)]
pub mod config;
mod connection;
pub mod daemon;
mod doctor;
mod exit;
mod gateways;
mod lock;
mod probe;
mod serve;
pub mod settings;
mod telemetry;

use std::{ffi::OsString, path::Path, time::Instant};

use clap::{CommandFactory as _, Parser as _};
use client_commands::{
    self as commands, Code, Failure, Import, OK, Question, Repl,
    terminal::{self, Look, Style},
};
use nix::sys::stat::{Mode, umask};

use crate::{
    cli::{Cli, Command, Models, Pull, Target},
    config::Config,
    settings::Settings,
};

/// Runs the command of a command line, and returns the exit code.
pub fn run(arguments: impl Iterator<Item = OsString>) -> u8 {
    let started = Instant::now();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads any more is no failure.
            drop(error.print());
            let failure = Failure::new(Code::WrongUsage, "nothing was done");
            return if error.use_stderr() { failure.tell(false) } else { OK };
        }
    };
    let as_json = matches!(cli.command, Some(Command::Ask { json: true, .. }));
    dispatch(cli.command, started).unwrap_or_else(|error| exit::failure(error).tell(as_json))
}

fn dispatch(command: Option<Command>, started: Instant) -> anyhow::Result<u8> {
    let text = match command {
        None => Cli::command().render_long_help().to_string(),
        Some(Command::ExitCodes) => commands::reference(),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "codexd", &mut script);
            String::from_utf8(script)?
        }
        Some(command) => return with_settings(command, started),
    };
    terminal::print(format_args!("{text}"))?;
    Ok(OK)
}

fn with_settings(command: Command, started: Instant) -> anyhow::Result<u8> {
    // What is written is nobody else's business.
    umask(Mode::from_bits_truncate(0o077));
    let mut settings = settings::read();
    if let Command::Serve { host, port } = &command {
        host.iter().for_each(|host| settings.set("HOST", host, "command line"));
        port.iter().for_each(|port| settings.set("PORT", port, "command line"));
    }
    if let Command::DataDir { default } = &command {
        return print_data_dir(&mut settings, default.as_deref());
    }
    let config = Config::new(&settings)?;
    let no_color = settings.get("NO_COLOR").is_some();
    let style = Style::of_output(no_color);
    telemetry::install(&config, matches!(command, Command::Serve { .. }), no_color);
    gateways::limit_threads(&config);
    match command {
        Command::Serve { .. } => serve::run(&config, started, style),
        Command::Doctor => doctor::run(&config, style),
        Command::Check { offline } => check(&settings, &config, offline, style),
        Command::Models { command: Some(Models::Pull(it)), target } => pull(&config, it, &target),
        command => speak(command, &config, style),
    }
}

/// The commands that speak to a daemon.
fn speak(command: Command, config: &Config, style: Style) -> anyhow::Result<u8> {
    match command {
        Command::Chat(chat) => {
            let greeting =
                concat!("codexd ", env!("CARGO_PKG_VERSION"), "; /help says what there is");
            let history = &config.data_dir.join("history");
            let (url, conversation) = chat.split();
            let repl = Repl { greeting, history, style, leave: exit::leave };
            connection::with(url, config, |client| commands::chat(client, conversation, &repl))
        }
        Command::Ask { message, json, chat } => {
            let (message, (url, conversation)) = (commands::question(&message)?, chat.split());
            let question = Question { message, conversation, as_json: json };
            connection::with(url, config, |client| commands::ask(client, &question, exit::leave))
        }
        Command::Sessions { command, target } => connection::with(target.url, config, |client| {
            commands::sessions(client, &cli::sessions(command), style)
        }),
        Command::Export { output, format, target } => {
            connection::with(target.url, config, |client| {
                commands::export(client, output.as_deref(), format)
            })
        }
        Command::Import { file, on_conflict, target } => {
            let import = Import::open(&file)?;
            connection::with(target.url, config, |client| {
                commands::import(client, import, on_conflict)
            })
        }
        Command::Models { target, .. } => {
            connection::with(target.url, config, |client| commands::models(client, style))
        }
        Command::Config { command, target } => connection::with(target.url, config, |client| {
            commands::config(client, &cli::config(command), style)
        }),
        Command::Serve { .. }
        | Command::Doctor
        | Command::Check { .. }
        | Command::DataDir { .. }
        | Command::ExitCodes
        | Command::Completions { .. } => Ok(OK),
    }
}

/// Prints the data folder, whatever else is set wrongly: models that are missing go there.
fn print_data_dir(settings: &mut Settings, default: Option<&Path>) -> anyhow::Result<u8> {
    let usual = settings.get("CODEXD_DATA_DIR").is_none().then_some(default).flatten();
    if let Some(folder) = usual.and_then(Path::to_str) {
        settings.set("CODEXD_DATA_DIR", folder, "command line");
    }
    terminal::print(format_args!("{}\n", config::data_dir(settings)?.display()))?;
    Ok(OK)
}

fn pull(config: &Config, pull: Pull, target: &Target) -> anyhow::Result<u8> {
    if target.url.is_some() {
        let sentence = "models pull asks no daemon; leave --url away";
        return Err(Failure::new(Code::WrongUsage, sentence).into());
    }
    let Pull { source, sha256, force } = pull;
    let pull = commands::Pull { source, sha256, force };
    let target = commands::pull(&pull, &config.data_dir.join("models"))?;
    let used = &config.local.chat_model;
    if *used != target {
        let (target, used) = (target.display(), used.display());
        let advice = format!("set LOCAL_MODEL_PATH={target} to use it in place of {used}");
        terminal::warn(format_args!(
            "{advice}, and start a running daemon again
"
        ));
    }
    Ok(OK)
}

fn check(settings: &Settings, config: &Config, offline: bool, style: Style) -> anyhow::Result<u8> {
    for setting in settings::all() {
        let value = match settings.get(setting.name) {
            Some(_) if settings::is_secret(setting.name) => "set",
            Some(value) => value,
            None if settings.is_emptied(setting.name) => "set to nothing",
            None if settings::is_secret(setting.name) => "not set",
            None => setting.default,
        };
        let name = style.paint(Look::Bold, &format!("{:<24}", setting.name));
        let origin = settings.origin(setting.name).unwrap_or("default");
        let origin = style.paint(Look::Dim, &format!("({origin})"));
        terminal::print(format_args!("{name}  {value}  {origin}\n"))?;
    }
    for (name, fact) in banner::facts(config) {
        terminal::print(format_args!("{name:<24}  {fact}\n"))?;
    }
    let probes =
        if offline { Vec::new() } else { daemon::runtime()?.block_on(probe::all(config))? };
    let silent =
        probes.into_iter().filter_map(|it| Some((it.is_default, it.name, it.models.err()?)));
    let silent =
        silent.map(|(is_default, name, problem)| (is_default, format!("{name}: {problem}")));
    let (problems, others): (Vec<_>, Vec<_>) = silent.partition(|it| it.0);
    for warning in config.warnings.iter().chain(others.iter().map(|it| &it.1)) {
        terminal::print(format_args!("{} {warning}\n", style.paint(Look::Yellow, "warning:")))?;
    }
    if !problems.is_empty() {
        return Err(config::Problems(problems.into_iter().map(|it| it.1).collect()).into());
    }
    terminal::print(format_args!("{}\n", style.paint(Look::Green, "The settings are all right.")))?;
    Ok(OK)
}
