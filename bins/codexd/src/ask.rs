//! `codexd ask`: one question; the answer, and nothing else, goes to standard output.

use std::io::{self, IsTerminal, Read as _};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{
    cli::Chat,
    client::{Ending, Piece},
    config::Config,
    connection::Connection,
    exit,
    interrupt::Interrupt,
    terminal,
};

/// Asks and prints.
pub(crate) fn run(config: &Config, words: &[String], json: bool, chat: Chat) -> anyhow::Result<u8> {
    let mut request = request(&chat);
    insert(&mut request, "message", Some(message(words)?));
    let connection = Connection::open(chat.target.url, config)?;
    let interrupt = Interrupt::watch(connection.client.clone())?;
    let mut printer = Printer::new(!json);
    let ending = connection.client.chat(&request, &interrupt, &mut |piece| printer.show(&piece));
    printer.finish()?;
    connection.close();
    let ending = ending?;
    if json {
        terminal::print(format_args!("{}\n", ending.data))?;
    }
    Ok(report(&ending))
}

/// Tells what is wrong with an answer, and what that means for the exit code.
pub(crate) fn report(ending: &Ending) -> u8 {
    if ending.is_complete() {
        exit::OK
    } else if ending.interrupted {
        terminal::warn(format_args!("codexd: stopped\n"));
        exit::INTERRUPTED
    } else {
        terminal::warn(format_args!("codexd: {}\n", ending.error()));
        exit::FAILED
    }
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
    ensure!(!parts.is_empty(), "ask what? Example: codexd ask 'What is a daemon?'");
    Ok(parts.join("\n\n").trim_end().to_owned())
}

/// Shows an answer as it comes: text on standard output, progress on a terminal's standard error.
pub(crate) struct Printer {
    shows_text: bool,
    in_line: bool,
    in_progress: bool,
}

impl Printer {
    pub(crate) fn new(shows_text: bool) -> Self {
        Self { shows_text, in_line: false, in_progress: false }
    }

    /// Shows one piece.
    pub(crate) fn show(&mut self, piece: &Piece<'_>) -> io::Result<()> {
        match piece {
            Piece::Progress { stage, done, total } if io::stderr().is_terminal() => {
                self.in_progress = true;
                let percent = done.saturating_mul(100).checked_div(*total).unwrap_or(0);
                terminal::warn(format_args!("\r\u{1b}[K{stage} {percent} %"));
                Ok(())
            }
            Piece::Tool(name) if io::stderr().is_terminal() => {
                self.clear_progress();
                terminal::warn(format_args!("[{name}]\n"));
                Ok(())
            }
            Piece::Progress { .. } | Piece::Tool(_) => Ok(()),
            Piece::Text(text) => {
                self.clear_progress();
                if !self.shows_text {
                    return Ok(());
                }
                self.in_line = !text.ends_with('\n');
                terminal::print(format_args!("{text}"))
            }
        }
    }

    /// Ends the line.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.clear_progress();
        if std::mem::take(&mut self.in_line) { terminal::print(format_args!("\n")) } else { Ok(()) }
    }

    fn clear_progress(&mut self) {
        if std::mem::take(&mut self.in_progress) {
            terminal::warn(format_args!("\r\u{1b}[K"));
        }
    }
}
