//! `codexd chat`: a conversation in the terminal, or line by line from a pipe.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::PathBuf,
};

use rustyline::{Editor, error::ReadlineError, history::FileHistory};
use serde_json::{Value, json};

use crate::{
    ask::{Printer, insert, report, request},
    cli::Chat,
    client::{Client, array, text},
    config::Config,
    connection::Connection,
    exit,
    interrupt::Interrupt,
    listing,
    terminal::{self, Look, Style},
};

const HELP: &str = "\
/new              begin a new session
/sessions         list the sessions
/session ID       go on with a session
/model [NAME]     show the models, or choose one
/system [TEXT]    set the system prompt of this session
/retry            answer the last message again
/quit             leave; so does Ctrl-D
Ctrl-C stops an answer. Everything else is a message.
";

/// Talks until the end of the input.
pub(crate) fn run(config: &Config, mut chat: Chat, style: Style) -> anyhow::Result<u8> {
    let connection = Connection::open(chat.target.url.take(), config)?;
    let interrupt = Interrupt::watch(connection.client.clone())?;
    let mut talk = Repl { client: connection.client.clone(), interrupt, chat, style };
    let ended = if io::stdin().is_terminal() {
        talk.with_person(config.data_dir.join("history"))
    } else {
        talk.with_pipe()
    };
    connection.close();
    ended
}

/// A conversation under way.
struct Repl {
    client: Client,
    interrupt: Interrupt,
    chat: Chat,
    style: Style,
}

impl Repl {
    fn with_person(&mut self, history: PathBuf) -> anyhow::Result<u8> {
        terminal::print(format_args!(
            "codexd {} at {}; /help says what there is\n",
            env!("CARGO_PKG_VERSION"),
            self.client.base()
        ))?;
        let mut editor: Editor<(), FileHistory> = Editor::new()?;
        // The first time there is none.
        drop(editor.load_history(&history));
        loop {
            match editor.readline("> ") {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    editor.add_history_entry(&line)?;
                    match self.line(line.trim()) {
                        Ok(true) => {}
                        Ok(false) => break,
                        // The conversation goes on.
                        Err(error) => terminal::warn(format_args!("codexd: {error:#}\n")),
                    }
                }
                Err(ReadlineError::Interrupted) => {
                    terminal::warn(format_args!("/quit or Ctrl-D leaves\n"))
                }
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            }
        }
        // Without a history the next conversation only lacks a convenience.
        drop(editor.save_history(&history));
        Ok(exit::OK)
    }

    fn with_pipe(&mut self) -> anyhow::Result<u8> {
        let mut code = exit::OK;
        for line in io::stdin().lock().lines() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            code = self.say(json!({"message": line}))?;
            if code != exit::OK {
                break;
            }
        }
        Ok(code)
    }

    /// Does what a line says; `false` to leave.
    fn line(&mut self, line: &str) -> anyhow::Result<bool> {
        let Some(command) = line.strip_prefix('/') else {
            self.say(json!({"message": line}))?;
            return Ok(true);
        };
        let (command, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = Some(rest.trim().to_owned()).filter(|rest| !rest.is_empty());
        match (command, rest) {
            ("quit" | "exit", _) => return Ok(false),
            ("new", _) => self.chat.session = None,
            ("sessions", _) => listing::list_sessions(&self.client, self.style)?,
            ("session", Some(id)) => self.go_on_with(id)?,
            ("session", None) => {
                self.note(self.chat.session.as_deref().unwrap_or("a new session"))?
            }
            ("model", None) => listing::list_models(&self.client)?,
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
        listing::show_session(&self.client, &id, self.style)?;
        self.chat.session = Some(id);
        Ok(())
    }

    fn retry(&mut self) -> anyhow::Result<()> {
        let session = match &self.chat.session {
            Some(id) => listing::session(&self.client, id)?,
            None => Value::Null,
        };
        let mut entries = array(&session, "entries").iter();
        let last = entries.rfind(|entry| text(entry, "role") == "user");
        match last.and_then(|entry| entry.get("seq")) {
            Some(seq) => self.say(json!({"regenerate": seq})).map(drop),
            None => self.note("nothing was asked yet"),
        }
    }

    /// Asks, shows the answer, and returns what it means for the exit code.
    fn say(&mut self, input: Value) -> anyhow::Result<u8> {
        let mut body = request(&self.chat);
        for (name, value) in input.as_object().into_iter().flatten() {
            insert(&mut body, name, Some(value.clone()));
        }
        let mut printer = Printer::new(true);
        let ending = self.client.chat(&body, &self.interrupt, &mut |piece| printer.show(&piece));
        printer.finish()?;
        let ending = ending?;
        self.chat.session = Some(text(&ending.data, "session_id").to_owned());
        self.chat.system = None;
        Ok(report(&ending))
    }

    fn note(&self, text: &str) -> anyhow::Result<()> {
        Ok(terminal::print(format_args!("{}\n", self.style.paint(Look::Dim, text)))?)
    }
}
