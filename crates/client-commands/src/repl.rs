//! A conversation in the terminal, or line by line from a pipe.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
};

use brain_tokio::Interrupt;
use http_client::{Client, text_of};
use rustyline::{Editor, error::ReadlineError, history::FileHistory};
use serde_json::Value;

use crate::{
    ask::{Conversation, answer, complete, insert, not_text, request, watch},
    code::{Code, INTERRUPTED, OK},
    failure::Failure,
    listing,
    terminal::{self, Look, Style},
};

const HELP: &str = include_str!("commands.txt");

/// How a conversation is held.
#[derive(Clone, Copy, Debug)]
pub struct Repl<'a> {
    /// The first line that a person sees.
    pub greeting: &'a str,
    /// The file that keeps what a person typed.
    pub history: &'a Path,
    /// How output looks.
    pub style: Style,
    /// Ends the process where Ctrl-C finds nothing to stop.
    pub leave: fn(),
}

/// Talks until the end of the input; returns the exit code.
///
/// # Errors
///
/// When the input or the output breaks; where nobody types, also when an answer does not complete.
pub fn chat(client: &Client, conversation: Conversation, repl: &Repl<'_>) -> Result<u8, Failure> {
    let interrupt = watch(client, repl.leave)?;
    let mut talk = Talk { client, interrupt, conversation, style: repl.style };
    if io::stdin().is_terminal() { talk.with_person(repl) } else { talk.with_pipe() }
}

/// A conversation under way.
struct Talk<'a> {
    client: &'a Client,
    interrupt: Interrupt,
    conversation: Conversation,
    style: Style,
}

impl Talk<'_> {
    fn with_person(&mut self, repl: &Repl<'_>) -> Result<u8, Failure> {
        self.note(repl.greeting)?;
        let settings = rustyline::Config::builder().auto_add_history(true).build();
        let editor = Editor::with_config(settings).map_err(broken);
        let mut editor: Editor<(), FileHistory> = editor?;
        // The first time there is none.
        drop(editor.load_history(repl.history));
        loop {
            let goes_on = match editor.readline("> ") {
                Ok(line) => {
                    // Without a history the next conversation only lacks a convenience.
                    drop(editor.append_history(repl.history));
                    self.line(line.trim())
                }
                Err(ReadlineError::Interrupted) => {
                    self.note("/quit or Ctrl-D leaves").map(|()| true)
                }
                Err(ReadlineError::Eof) => return Ok(OK),
                Err(error) => return Err(broken(error)),
            };
            // After an error the conversation goes on.
            let goes_on = goes_on.map_err(|failure| failure.tell(false)).unwrap_or(true);
            if self.interrupt.leaves() {
                return Ok(INTERRUPTED);
            } else if !goes_on {
                return Ok(OK);
            }
        }
    }

    fn with_pipe(&mut self) -> Result<u8, Failure> {
        for line in io::stdin().lock().lines() {
            let line = line.map_err(not_text)?;
            if !line.trim().is_empty() {
                self.say("message", line.into())?;
            }
        }
        Ok(OK)
    }

    /// Does what a line says; `false` to leave.
    fn line(&mut self, line: &str) -> Result<bool, Failure> {
        let Some(command) = line.strip_prefix('/') else {
            let blank = line.is_empty();
            return if blank { Ok(true) } else { self.say("message", line.into()).map(|()| true) };
        };
        let (command, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = Some(rest.trim().to_owned()).filter(|rest| !rest.is_empty());
        match (command, rest) {
            ("quit" | "exit", _) => return Ok(false),
            ("new", _) => self.conversation.session = None,
            ("sessions", _) => listing::list(self.client, self.style)?,
            ("session", Some(id)) => self.go_on_with(id)?,
            ("session", None) => {
                self.note(self.conversation.session.as_deref().unwrap_or("a new session"))?;
            }
            ("model", None) => _ = listing::models(self.client, self.style)?,
            ("model", model) => self.conversation.model = model,
            ("system", text) => {
                self.conversation.system = Some(text.unwrap_or_default());
                self.note("the system prompt is sent with the next message")?;
            }
            ("retry", _) => self.retry()?,
            ("help", _) => terminal::print(format_args!("{HELP}"))?,
            _ => self.note("there is no such command; /help says what there is")?,
        }
        Ok(true)
    }

    fn go_on_with(&mut self, id: String) -> Result<(), Failure> {
        listing::show(self.client, &id, self.style)?;
        self.conversation.session = Some(id);
        Ok(())
    }

    fn retry(&mut self) -> Result<(), Failure> {
        let last = match &self.conversation.session {
            Some(id) => listing::session(self.client, id)?.last_question(),
            None => None,
        };
        match last {
            Some(seq) => self.say("regenerate", seq.into()),
            None => self.note("nothing was asked yet"),
        }
    }

    /// Asks, and shows the answer.
    fn say(&mut self, what: &str, input: Value) -> Result<(), Failure> {
        let mut body = request(&self.conversation);
        insert(&mut body, what, Some(input));
        let ending = answer(self.client, &self.interrupt, &body, true)?;
        self.conversation.session = Some(text_of(&ending.data, "session_id").to_owned());
        self.conversation.system = None;
        complete(ending).map(drop)
    }

    fn note(&self, text: &str) -> Result<(), Failure> {
        Ok(terminal::print(format_args!("{}\n", self.style.paint(Look::Dim, text)))?)
    }
}

fn broken(error: ReadlineError) -> Failure {
    Failure::caused_by(Code::IoError, error)
}
