//! `codexd ask`: one question; the answer, and nothing else, goes to standard output.

use std::io::{self, IsTerminal, Read as _};

use anyhow::Context as _;
use brain_tokio::Interrupt;
use http_client::{Client, Piece, text_of};
use serde_json::{Value, json};

use crate::{cli::Chat, config::Config, connection, exit, terminal};

/// How an answer ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The last event, as the API has it.
    pub(crate) data: Value,
    /// Whether Ctrl-C ended it.
    interrupted: bool,
}

/// Asks and prints.
pub(crate) fn run(config: &Config, words: &[String], json: bool, chat: Chat) -> anyhow::Result<u8> {
    let mut request = request(&chat);
    let message = message(words)?;
    if message.is_empty() {
        terminal::warn(format_args!("codexd: ask what? Example: codexd ask 'What is a daemon?'\n"));
        return Ok(exit::USAGE);
    }
    insert(&mut request, "message", Some(message));
    let ending = connection::with(chat.target.url, config, |client| {
        answer(client, &watch(client)?, &request, !json)
    })?;
    if json {
        terminal::print(format_args!("{}\n", ending.data))?;
    }
    Ok(report(&ending))
}

/// Watches for Ctrl-C: a running answer is cancelled, else the program ends.
pub(crate) fn watch(client: &Client) -> anyhow::Result<Interrupt> {
    let client = client.clone();
    Ok(Interrupt::watch(move |turn| client.cancel(turn), leave)?)
}

#[expect(clippy::disallowed_methods, clippy::exit, reason = "the main thread may hang")]
fn leave() {
    std::process::exit(exit::INTERRUPTED.into());
}

/// Asks, and prints the text as it comes if it is to be shown.
pub(crate) fn answer(
    client: &Client,
    interrupt: &Interrupt,
    request: &Value,
    shows_text: bool,
) -> anyhow::Result<Ending> {
    let shows_progress = io::stderr().is_terminal();
    let mut printer = Printer { shows_text, shows_progress, in_line: false };
    interrupt.asked();
    let ended = client.chat(request, &mut |piece| {
        if let Piece::Started { turn } = piece
            && interrupt.runs(turn)
        {
            client.cancel(turn);
        }
        printer.show(&piece)
    });
    let interrupted = interrupt.ended();
    printer.finish()?;
    Ok(Ending { data: ended?, interrupted })
}

/// Tells what is wrong with an answer, and what that means for the exit code.
pub(crate) fn report(ending: &Ending) -> u8 {
    if text_of(&ending.data, "status") == "completed" {
        return exit::OK;
    }
    let error = ending.data.get("error").unwrap_or(&Value::Null);
    terminal::warn(format_args!("codexd: {}\n", terminal::harmless(text_of(error, "message"))));
    if ending.interrupted { exit::INTERRUPTED } else { exit::FAILED }
}

/// The parts of a chat request that the command line sets.
pub(crate) fn request(chat: &Chat) -> Value {
    let mut request = json!({"stream": true});
    insert(&mut request, "session_id", chat.session.clone());
    insert(&mut request, "model", chat.model.clone());
    insert(&mut request, "system", chat.system.clone());
    request
}

/// Sets a field of a request if there is something to set.
pub(crate) fn insert(request: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let (Some(fields), Some(value)) = (request.as_object_mut(), value) {
        fields.insert(name.to_owned(), value.into());
    }
}

fn message(words: &[String]) -> anyhow::Result<String> {
    let mut parts = vec![words.join(" ")];
    if !io::stdin().is_terminal() {
        let mut piped = String::new();
        io::stdin().read_to_string(&mut piped).context("cannot read standard input as UTF-8")?;
        parts.push(piped);
    }
    parts.retain(|part| !part.trim().is_empty());
    Ok(parts.join("\n\n").trim_end().to_owned())
}

/// Shows an answer as it comes: text on standard output, progress on a terminal's standard error.
struct Printer {
    shows_text: bool,
    shows_progress: bool,
    in_line: bool,
}

impl Printer {
    fn show(&mut self, piece: &Piece<'_>) -> io::Result<()> {
        if self.shows_progress {
            terminal::warn(format_args!("\r\u{1b}[K"));
        }
        match piece {
            Piece::Progress { stage, done, total } if self.shows_progress => {
                let percent = done.saturating_mul(100).checked_div(*total).unwrap_or(0);
                terminal::warn(format_args!("{stage} {percent} %"));
            }
            Piece::Text(text) => {
                // Once there is text, the line belongs to it.
                self.shows_progress = false;
                if self.shows_text {
                    self.in_line = !text.ends_with('\n');
                    terminal::print(format_args!("{}", terminal::shown(text)))?;
                }
            }
            Piece::Started { .. } | Piece::Progress { .. } => {}
        }
        Ok(())
    }

    fn finish(&self) -> io::Result<()> {
        if self.shows_progress {
            terminal::warn(format_args!("\r\u{1b}[K"));
        }
        if self.in_line { terminal::print(format_args!("\n")) } else { Ok(()) }
    }
}
