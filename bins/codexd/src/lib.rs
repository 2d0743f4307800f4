//! The brain daemon: settings, wiring, and the command line.
//!
//! It holds no logic that another service would want; that is in the crates it joins. The
//! commands that talk speak HTTP to a daemon, the running one or one in their own process, so
//! that there is one way into the brain.

mod app;
mod ask;
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
mod listing;
mod lock;
mod pull;
mod repl;
mod serve;
pub mod settings;
mod telemetry;
mod terminal;
mod transfer;

use std::{ffi::OsString, time::Instant};

use clap::{CommandFactory as _, Parser as _};
use nix::sys::stat::{Mode, umask};

use crate::{
    cli::{Cli, Command, Models},
    config::Config,
    settings::Settings,
    terminal::{Look, Style},
};

/// Runs the command of a command line, and returns the exit code.
pub fn run(arguments: impl Iterator<Item = OsString>) -> u8 {
    let started = Instant::now();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads any more is no failure.
            drop(error.print());
            return if error.use_stderr() { exit::USAGE } else { exit::OK };
        }
    };
    dispatch(cli.command, started).unwrap_or_else(|error| exit::report(&error))
}

fn dispatch(command: Option<Command>, started: Instant) -> anyhow::Result<u8> {
    let Some(command) = command else {
        terminal::print(format_args!("{}", Cli::command().render_long_help()))?;
        return Ok(exit::OK);
    };
    let Command::Completions { shell } = command else { return with_settings(command, started) };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "codexd", &mut script);
    terminal::print(format_args!("{}", String::from_utf8(script)?))?;
    Ok(exit::OK)
}

fn with_settings(command: Command, started: Instant) -> anyhow::Result<u8> {
    // What is written is nobody else's business.
    umask(Mode::from_bits_truncate(0o077));
    let mut settings = settings::read();
    if let Command::Serve { host, port } = &command {
        host.iter().for_each(|host| settings.set("HOST", host, "command line"));
        port.iter().for_each(|port| settings.set("PORT", port, "command line"));
    }
    let config = Config::new(&settings)?;
    let no_color = settings.get("NO_COLOR").is_some();
    let style = Style::of_output(no_color);
    telemetry::install(&config, matches!(command, Command::Serve { .. }), no_color);
    app::limit_threads(&config);
    match command {
        Command::Serve { .. } => serve::run(&config, started, style),
        Command::Chat(chat) => repl::run(&config, chat, style),
        Command::Ask { message, json, chat } => ask::run(&config, &message, json, chat),
        Command::Sessions { command, target } => {
            listing::sessions(&config, command, target.url, style)
        }
        Command::Export { output, format, target } => {
            transfer::export(&config, target.url, output.as_deref(), format)
        }
        Command::Import { file, on_conflict, target } => {
            transfer::import(&config, target.url, &file, on_conflict)
        }
        Command::Models { command: Some(Models::Pull(_)), target } if target.url.is_some() => {
            terminal::warn(format_args!("codexd: models pull asks no daemon; leave --url away\n"));
            Ok(exit::USAGE)
        }
        Command::Models { command: Some(Models::Pull(pull)), .. } => pull::run(&config, &pull),
        Command::Models { target, .. } => {
            connection::with(target.url, &config, listing::list_models).map(|()| exit::OK)
        }
        Command::Doctor => doctor::run(&config, style),
        Command::Check => check(&settings, &config, style),
        Command::Completions { .. } => Ok(exit::OK),
    }
}

fn check(settings: &Settings, config: &Config, style: Style) -> anyhow::Result<u8> {
    for setting in settings::all() {
        let value = match settings.get(setting.name) {
            Some(_) if settings::is_secret(setting.name) => "set",
            Some(value) => value,
            None if settings.is_emptied(setting.name) => "set to nothing",
            None if settings::is_secret(setting.name) => "not set",
            None => setting.default,
        };
        let name = style.paint(Look::Bold, &format!("{:<18}", setting.name));
        let origin = settings.origin(setting.name).unwrap_or("default");
        let origin = style.paint(Look::Dim, &format!("({origin})"));
        terminal::print(format_args!("{name}  {value}  {origin}\n"))?;
    }
    for (name, fact) in banner::facts(config) {
        terminal::print(format_args!("{name:<18}  {fact}\n"))?;
    }
    for warning in &config.warnings {
        terminal::print(format_args!("{} {warning}\n", style.paint(Look::Yellow, "warning:")))?;
    }
    terminal::print(format_args!("{}\n", style.paint(Look::Green, "The settings are all right.")))?;
    Ok(exit::OK)
}
