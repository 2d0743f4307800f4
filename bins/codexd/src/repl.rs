//! `codexd chat`: a conversation in the terminal, or line by line from a pipe.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
};

use brain_tokio::Interrupt;
use http_client::{Client, array_of, text_of};
use rustyline::{Editor, error::ReadlineError, history::FileHistory};
use serde_json::Value;

use crate::{
    ask::{answer, insert, report, request, watch},
    cli::Chat,
    config::Config,
    connection, exit, listing,
    terminal::{self, Look, Style},
};

const HELP: &str = include_str!("help/commands.txt");

/// Talks until the end of the input.
pub(crate) fn run(config: &Config, mut chat: Chat, style: Style) -> anyhow::Result<u8> {
    connection::with(chat.target.url.take(), config, |client| {
        let interrupt = watch(client)?;
        let mut talk = Repl { client, interrupt, chat, style };
        if io::stdin().is_terminal() {
            return talk.with_person(&config.data_dir.join("history"));
        }
        talk.with_pipe()
    })
}

/// A conversation under way.
struct Repl<'a> {
    client: &'a Client,
    interrupt: Interrupt,
    chat: Chat,
    style: Style,
}

impl Repl<'_> {
    fn with_person(&mut self, history: &Path) -> anyhow::Result<u8> {
        self.note(concat!("codexd ", env!("CARGO_PKG_VERSION"), "; /help says what there is"))?;
        let settings = rustyline::Config::builder().auto_add_history(true).build();
        let mut editor: Editor<(), FileHistory> = Editor::with_config(settings)?;
        // The first time there is none.
        drop(editor.load_history(history));
        loop {
            let goes_on = match editor.readline("> ") {
                Ok(line) => {
                    // Without a history the next conversation only lacks a convenience.
                    drop(editor.append_history(history));
                    self.line(line.trim())
                }
                Err(ReadlineError::Interrupted) => {
                    self.note("/quit or Ctrl-D leaves").map(|()| true)
                }
                Err(ReadlineError::Eof) => return Ok(exit::OK),
                Err(error) => return Err(error.into()),
            };
            // After an error the conversation goes on.
            let goes_on = goes_on.map_err(|error| exit::report(&error)).unwrap_or(true);
            if self.interrupt.leaves() {
                return Ok(exit::INTERRUPTED);
            } else if !goes_on {
                return Ok(exit::OK);
            }
        }
    }

    fn with_pipe(&mut self) -> anyhow::Result<u8> {
        for line in io::stdin().lock().lines() {
            let line = line?;
            let is_blank = line.trim().is_empty();
            let code = if is_blank { exit::OK } else { self.say("message", line.into())? };
            if code != exit::OK {
                return Ok(code);
            }
        }
        Ok(exit::OK)
    }

    /// Does what a line says; `false` to leave.
    fn line(&mut self, line: &str) -> anyhow::Result<bool> {
        let Some(command) = line.strip_prefix('/') else {
            let blank = line.is_empty();
            return if blank { Ok(true) } else { self.say("message", line.into()).map(|_| true) };
        };
        let (command, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = Some(rest.trim().to_owned()).filter(|rest| !rest.is_empty());
        match (command, rest) {
            ("quit" | "exit", _) => return Ok(false),
            ("new", _) => self.chat.session = None,
            ("sessions", _) => listing::list_sessions(self.client, self.style)?,
            ("session", Some(id)) => self.go_on_with(id)?,
            ("session", None) => {
                self.note(self.chat.session.as_deref().unwrap_or("a new session"))?;
            }
            ("model", None) => listing::list_models(self.client)?,
            ("model", model) => self.chat.model = model,
            ("system", text) => {
                self.chat.system = Some(text.unwrap_or_default());
                self.note("the system prompt is sent with the next message")?;
            }
            ("retry", _) => self.retry()?,
            ("help", _) => terminal::print(format_args!("{HELP}"))?,
            _ => self.note("there is no such command; /help says what there is")?,
        }
        Ok(true)
    }

    fn go_on_with(&mut self, id: String) -> anyhow::Result<()> {
        listing::show_session(self.client, &id, self.style)?;
        self.chat.session = Some(id);
        Ok(())
    }

    fn retry(&mut self) -> anyhow::Result<()> {
        let session = match &self.chat.session {
            Some(id) => listing::session(self.client, id)?,
            None => Value::Null,
        };
        let mut entries = array_of(&session, "entries").iter();
        let last = entries.rfind(|entry| text_of(entry, "role") == "user");
        match last.and_then(|entry| entry.get("seq")) {
            Some(seq) => self.say("regenerate", seq.clone()).map(drop),
            None => self.note("nothing was asked yet"),
        }
    }

    /// Asks, shows the answer, and returns what it means for the exit code.
    fn say(&mut self, what: &str, input: Value) -> anyhow::Result<u8> {
        let mut body = request(&self.chat);
        insert(&mut body, what, Some(input));
        let ending = answer(self.client, &self.interrupt, &body, true)?;
        self.chat.session = Some(text_of(&ending.data, "session_id").to_owned());
        self.chat.system = None;
        Ok(report(&ending))
    }

    fn note(&self, text: &str) -> anyhow::Result<()> {
        Ok(terminal::print(format_args!("{}\n", self.style.paint(Look::Dim, text)))?)
    }
}
