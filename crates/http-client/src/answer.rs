//! An answer on its way: events into pieces, and the stream taken up again where it breaks.

use std::{
    io::{self, BufReader, Read},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    client::{Client, text},
    error::{ClientError, ClientErrorKind},
    sse,
};

/// How often a stream that broke is taken up again, for six seconds in all.
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
}

impl<'a> Talk<'a> {
    pub(crate) fn new(client: &'a Client, show: &'a mut Show<'a>) -> Self {
        let (session, shown) = (String::new(), String::new());
        Self { client, show, turn: None, session, last: 0, shown }
    }

    pub(crate) fn run(&mut self, request: &str) -> Result<Value, ClientError> {
        let ended = match self.client.post("chat", request) {
            Ok(body) => self.follow(body)?,
            Err(error) => return Err(error),
        };
        if let Some(end) = ended {
            return Ok(end);
        }
        for attempt in 0..RESUMES {
            let Some(turn) = &self.turn else {
                return Err(broken("the daemon hung up; see its log"));
            };
            thread::sleep(Duration::from_millis(100 << attempt));
            let (path, after) = (format!("chat/turns/{turn}/events"), self.last.to_string());
            if let Ok(body) = self.client.read(&path, &[("after", &after)], "text/event-stream")
                && let Some(end) = self.follow(body)?
            {
                return Ok(end);
            }
        }
        let id = &self.session;
        Err(broken(format!(
            "the connection broke; `codexd sessions show {id}` shows what became of the answer"
        )))
    }

    /// Reads to the last event, and returns it; `None` if the stream ends before.
    fn follow(&mut self, body: impl Read) -> Result<Option<Value>, ClientError> {
        let mut body = BufReader::new(body);
        while let Ok(Some(event)) = sse::next_event(&mut body) {
            self.last = self.last.max(event.id);
            match event.name.as_str() {
                "turn.completed" | "turn.interrupted" | "turn.failed" => {
                    return Ok(Some(event.data));
                }
                "error" => return Err(broken(text(&event.data, "detail"))),
                _ => self.handle(&event).map_err(|error| {
                    let sentence = "the answer cannot be shown";
                    ClientError::new(ClientErrorKind::Local, sentence).with_source(error)
                })?,
            }
        }
        Ok(None)
    }

    fn handle(&mut self, event: &sse::Event) -> io::Result<()> {
        let text = |name: &str| text(&event.data, name);
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
            "turn.snapshot" => {
                // All there is: what is shown of it already is not shown again.
                let rest = text("text").strip_prefix(self.shown.as_str()).map(str::to_owned);
                self.more(&rest.unwrap_or_default())
            }
            "tool.result" => {
                self.shown.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn more(&mut self, text: &str) -> io::Result<()> {
        self.shown.push_str(text);
        if text.is_empty() { Ok(()) } else { (self.show)(Piece::Text(text)) }
    }
}

fn broken(sentence: impl Into<String>) -> ClientError {
    ClientError::new(ClientErrorKind::Broken, sentence)
}
