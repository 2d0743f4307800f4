//! An answer on its way: events into pieces, and the stream taken up again where it breaks.

use std::{
    io::{self, BufReader, Read},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    client::Client,
    error::{BoxError, ClientError, ClientErrorKind},
    json::text_of,
    sse,
};

/// How often in a row a stream that broke is taken up again, for six seconds in all.
const RESUMES: u32 = 6;

/// A piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// This turn answers.
    Started {
        /// Its id.
        turn: &'a str,
    },
    /// What happens before the answer, and how far it is.
    Progress {
        /// What happens: `pulling`, `loading`, `reading`.
        stage: &'a str,
        /// How much of it is done.
        done: u64,
        /// Of how much; 0 where nobody knows.
        total: u64,
    },
    /// More text.
    Text(&'a str),
}

type Show<'a> = dyn FnMut(Piece<'_>) -> io::Result<()> + 'a;

/// One answer on its way.
pub(crate) struct Talk<'a> {
    client: &'a Client,
    show: &'a mut Show<'a>,
    turn: Option<String>,
    session: String,
    /// The number of the last event.
    last: u64,
    /// The text of the model call under way, as far as it is shown.
    shown: String,
    /// Why the stream broke the last time, if anything told.
    cause: Option<BoxError>,
}

impl<'a> Talk<'a> {
    pub(crate) fn new(client: &'a Client, show: &'a mut Show<'a>) -> Self {
        let (session, shown) = (String::new(), String::new());
        Self { client, show, turn: None, session, last: 0, shown, cause: None }
    }

    pub(crate) fn run(&mut self, request: &str) -> Result<Value, ClientError> {
        let body = self.client.post("chat", request)?;
        let (mut ended, mut attempt) = (self.follow(body)?, 0);
        while ended.is_none() && attempt < RESUMES {
            let Some(turn) = self.turn.clone() else {
                return Err(self.broken("the daemon hung up; see its log"));
            };
            thread::sleep(Duration::from_millis(100 << attempt));
            let before = self.last;
            ended = self.resume(&turn)?;
            attempt = if before < self.last { 0 } else { attempt + 1 };
        }
        ended.ok_or_else(|| {
            let advice = format!("`codexd sessions show {}` shows", self.session);
            self.broken(format!("the connection broke; {advice} what became of the answer"))
        })
    }

    /// Takes the stream up again, and reads as [`Self::follow`] does.
    fn resume(&mut self, turn: &str) -> Result<Option<Value>, ClientError> {
        let (path, after) = (format!("chat/turns/{turn}/events"), self.last.to_string());
        match self.client.read(&path, &[("after", &after)], "text/event-stream") {
            Ok(body) => self.follow(body),
            Err(error) => {
                self.cause = Some(error.into());
                Ok(None)
            }
        }
    }

    /// Reads to the last event, and returns it; `None` if the stream ends or breaks before.
    fn follow(&mut self, body: impl Read) -> Result<Option<Value>, ClientError> {
        let mut body = BufReader::new(body);
        loop {
            let event = match sse::next_event(&mut body) {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.cause = Some(error.into());
                    return Ok(None);
                }
            };
            match event.name.as_str() {
                "turn.completed" | "turn.interrupted" | "turn.failed" => {
                    return Ok(Some(event.data));
                }
                "error" => {
                    let sentence = text_of(&event.data, "detail");
                    let code = event.data.get("code").and_then(Value::as_str);
                    return Err(ClientError::new(ClientErrorKind::Broken, sentence).with_code(code));
                }
                _ => self.handle(&event).map_err(|error| {
                    let sentence = "the answer cannot be shown";
                    ClientError::new(ClientErrorKind::Unwritable, sentence).with_source(error)
                })?,
            }
            self.last = self.last.max(event.id);
        }
    }

    fn handle(&mut self, event: &sse::Event) -> io::Result<()> {
        let text = |name: &str| text_of(&event.data, name);
        let number = |name: &str| event.data.get(name).and_then(Value::as_u64).unwrap_or(0);
        match event.name.as_str() {
            "turn.started" => {
                let turn = text("turn_id");
                self.turn = Some(turn.to_owned());
                text("session_id").clone_into(&mut self.session);
                (self.show)(Piece::Started { turn })
            }
            "model.progress" => {
                let (done, total) = (number("done"), number("total"));
                (self.show)(Piece::Progress { stage: text("stage"), done, total })
            }
            "text.delta" => self.more(text("text")),
            "turn.snapshot" => self.all(text("text")),
            "tool.result" => {
                self.shown.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Shows what is missing of all that there is of the model call under way.
    fn all(&mut self, text: &str) -> io::Result<()> {
        if let Some(rest) = text.strip_prefix(self.shown.as_str()) {
            return self.more(rest);
        }
        // What another daemon has stored may be behind what was shown.
        if !text.is_empty() && self.shown.starts_with(text) {
            return Ok(());
        }
        self.shown.clear();
        self.more(text)
    }

    fn more(&mut self, text: &str) -> io::Result<()> {
        self.shown.push_str(text);
        if text.is_empty() { Ok(()) } else { (self.show)(Piece::Text(text)) }
    }

    fn broken(&mut self, sentence: impl Into<String>) -> ClientError {
        let error = ClientError::new(ClientErrorKind::Broken, sentence);
        match self.cause.take() {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }
}
