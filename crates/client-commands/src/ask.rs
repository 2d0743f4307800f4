//! One question and its answer: standard output gets the answer and nothing else.

use std::io::{self, IsTerminal, Read as _};

use brain_tokio::Interrupt;
use http_client::{Client, Piece, text_of};
use serde_json::{Value, json};

use crate::{
    code::{Code, OK},
    failure::Failure,
    terminal::{self, in_line},
};

/// What a cancelled answer is called that nobody cancelled here.
const NOT_BY_US: &str = "the daemon was stopped before the answer ended, or somebody cancelled it \
                         elsewhere; what there was of it is stored";

/// With what a model is talked to.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The session to go on with, or to begin; `None` begins one that the daemon names.
    pub session: Option<String>,
    /// The model; `None` is the daemon's default.
    pub model: Option<String>,
    /// The system prompt, which is kept with the session.
    pub system: Option<String>,
}

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked.
    pub message: String,
    /// With what it is asked.
    pub conversation: Conversation,
    /// Whether the answer is printed whole as JSON.
    pub as_json: bool,
}

/// The question that is made of words, and of what is piped in below them.
///
/// # Errors
///
/// [`Code::WrongUsage`] where nothing is asked, [`Code::NotText`] where no text is piped in.
pub fn question(words: &[String]) -> Result<String, Failure> {
    let mut parts = vec![words.join(" ")];
    if !io::stdin().is_terminal() {
        let mut piped = String::new();
        io::stdin().read_to_string(&mut piped).map_err(not_text)?;
        parts.push(piped);
    }
    parts.retain(|part| !part.trim().is_empty());
    let question = parts.join("\n\n").trim_end().to_owned();
    if question.is_empty() {
        let sentence = "ask what? Example: codexd ask 'What is a daemon?'";
        return Err(Failure::new(Code::WrongUsage, sentence));
    }
    Ok(question)
}

/// What is piped in cannot be read, or is no text.
pub(crate) fn not_text(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::InvalidData {
        return Failure::new(Code::NotText, "cannot read standard input as UTF-8");
    }
    Failure::reading("standard input", error)
}

/// Asks and prints; `leave` ends the process where Ctrl-C finds nothing to stop. Returns the exit
/// code.
///
/// # Errors
///
/// When no daemon answers, or the answer did not complete.
pub fn ask(client: &Client, question: &Question, leave: fn()) -> Result<u8, Failure> {
    let mut request = request(&question.conversation);
    insert(&mut request, "message", Some(question.message.as_str()));
    let ending = answer(client, &watch(client, leave)?, &request, !question.as_json)?;
    let ending = complete(ending)?;
    if question.as_json {
        terminal::print(format_args!("{ending}\n"))?;
    }
    Ok(OK)
}

/// Watches for Ctrl-C: a running answer is cancelled, else `leave` is called.
pub(crate) fn watch(client: &Client, leave: fn()) -> Result<Interrupt, Failure> {
    let client = client.clone();
    Ok(Interrupt::watch(move |turn| client.cancel(turn), leave)?)
}

/// How an answer ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The last event, as the API has it.
    pub(crate) data: Value,
    /// Whether Ctrl-C ended it.
    interrupted: bool,
}

/// Asks, and prints the text as it comes if it is to be shown.
pub(crate) fn answer(
    client: &Client,
    interrupt: &Interrupt,
    request: &Value,
    shows_text: bool,
) -> Result<Ending, Failure> {
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
    let data = ended?;
    if let Some(sentence) = stand_in(&data).filter(|_| shows_text) {
        terminal::warn(format_args!("codexd: {}\n", in_line(&sentence)));
    }
    Ok(Ending { data, interrupted })
}

/// Who answered, where it is not who was asked.
fn stand_in(data: &Value) -> Option<String> {
    let model = data.pointer("/message/model")?.as_str()?;
    let asked = data.pointer("/context/fallback")?.as_array()?;
    let asked = asked.iter().map(|it| match text_of(it, "model") {
        "" => format!("the default model ({})", text_of(it, "code")),
        name => format!("{name} ({})", text_of(it, "code")),
    });
    Some(format!("{model} answered in place of {}", asked.collect::<Vec<_>>().join(" and ")))
}

/// The last event of an answer that completed.
pub(crate) fn complete(ending: Ending) -> Result<Value, Failure> {
    let Ending { data, interrupted } = ending;
    if text_of(&data, "status") == "completed" {
        return Ok(data);
    }
    let error = data.get("error").unwrap_or(&Value::Null);
    let (word, sentence) = (text_of(error, "code"), text_of(error, "message"));
    let failure = if interrupted {
        Failure::new(Code::Interrupted, sentence)
    } else if word == "cancelled" {
        Failure::of_the_api(word, NOT_BY_US)
    } else {
        Failure::of_the_api(word, sentence)
    };
    Err(failure.with_answer(data))
}

/// The parts of a chat request that a conversation sets.
pub(crate) fn request(conversation: &Conversation) -> Value {
    let mut request = json!({"stream": true});
    insert(&mut request, "session_id", conversation.session.clone());
    insert(&mut request, "model", conversation.model.clone());
    insert(&mut request, "system", conversation.system.clone());
    request
}

/// Sets a field of a request if there is something to set.
pub(crate) fn insert(request: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let (Some(fields), Some(value)) = (request.as_object_mut(), value) {
        fields.insert(name.to_owned(), value.into());
    }
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
                let stage = in_line(stage);
                match done.saturating_mul(100).checked_div(*total) {
                    Some(percent) => terminal::warn(format_args!("{stage} {percent} %")),
                    None => terminal::warn(format_args!("{stage}")),
                }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Ending, complete, stand_in};

    #[test]
    fn an_answer_that_was_not_cancelled_here_says_what_may_have_ended_it() {
        let said = |code: &str, interrupted| {
            let error = json!({"code": code, "message": "m"});
            let data = json!({"status": "interrupted", "error": error});
            complete(Ending { data, interrupted }).unwrap_err().to_string()
        };
        assert!(said("cancelled", false).contains("the daemon was stopped"));
        assert!(!said("cancelled", true).contains("the daemon was stopped"));
        assert!(!said("turn_timeout", false).contains("the daemon was stopped"));
    }

    #[test]
    fn who_stands_in_is_named_and_for_whom() {
        let answer =
            |fallback| json!({"message": {"model": "b/m"}, "context": {"fallback": fallback}});
        let over = json!([{"model": "", "code": "x"}, {"model": "a/m", "code": "y"}]);
        let told = "b/m answered in place of the default model (x) and a/m (y)";
        assert_eq!(stand_in(&answer(over.clone())).as_deref(), Some(told));
        for plain in [
            json!({"message": {"model": "b/m"}, "context": {}}),
            json!({"message": {"status": "failed"}, "context": {"fallback": over}}),
            json!({"message": null, "context": null}),
        ] {
            assert_eq!(stand_in(&plain), None, "{plain}");
        }
    }
}
