//! Why a command failed: a sentence for people, a code for programs. What it prints goes to
//! standard error, and as JSON to standard output where that was asked for.

use std::{borrow::Cow, error::Error, fmt, io, iter::successors};

use http_client::{ClientError, ClientErrorKind};
use serde_json::{Value, json};

use crate::{
    code::{Code, OK, exit_of},
    terminal::{self, harmless},
};

type BoxError = Box<dyn Error + Send + Sync>;

/// A command failed.
#[derive(Debug)]
pub struct Failure {
    word: Cow<'static, str>,
    exit: u8,
    /// `None` says what the source says.
    sentence: Option<String>,
    source: Option<BoxError>,
    answer: Option<Box<Value>>,
}

impl Failure {
    /// A failure with a code of ours; `sentence` says what to do.
    #[must_use]
    pub fn new(code: Code, sentence: impl Into<String>) -> Self {
        let (word, exit) = (code.word().into(), code.exit());
        Self { word, exit, sentence: Some(sentence.into()), source: None, answer: None }
    }

    /// A failure with a code of the API.
    #[must_use]
    pub fn of_the_api(word: &str, sentence: impl Into<String>) -> Self {
        let (word, exit) = (word.to_owned().into(), exit_of(word));
        Self { word, exit, sentence: Some(sentence.into()), source: None, answer: None }
    }

    /// Another error with a code of ours; it keeps its sentence and its causes.
    #[must_use]
    pub fn caused_by(code: Code, error: impl Into<BoxError>) -> Self {
        let (word, exit) = (code.word().into(), code.exit());
        Self { word, exit, sentence: None, source: Some(error.into()), answer: None }
    }

    /// What is at `place` cannot be read.
    #[must_use]
    pub fn reading(place: impl fmt::Display, error: io::Error) -> Self {
        let code = of_disk(&error, Code::CannotRead);
        Self::new(code, format!("cannot read {place}")).with_source(error)
    }

    /// What is at `place` cannot be made or written.
    #[must_use]
    pub fn writing(place: impl fmt::Display, error: io::Error) -> Self {
        let code = of_disk(&error, Code::CannotWrite);
        Self::new(code, format!("cannot write {place}")).with_source(error)
    }

    /// Attaches what led to it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Attaches what the API answered, which is printed whole where JSON was asked for.
    #[must_use]
    pub fn with_answer(mut self, answer: Value) -> Self {
        self.answer = Some(Box::new(answer));
        self
    }

    /// Its stable word.
    #[must_use]
    pub fn word(&self) -> &str {
        &self.word
    }

    /// Tells people, and programs if `as_json`; returns the exit code. Whoever reads our output and
    /// has seen enough is told nothing.
    #[must_use]
    pub fn tell(&self, as_json: bool) -> u8 {
        let causes = || causes(self);
        if causes().any(is_broken_pipe) {
            return OK;
        }
        let sentence = causes().map(ToString::to_string).collect::<Vec<_>>().join(": ");
        let (line, word) = (harmless(&sentence), &self.word);
        let gap = if line.contains('\n') { '\n' } else { ' ' };
        terminal::warn(format_args!("codexd: {line}{gap}[{word}]\n"));
        if as_json {
            let plain =
                || json!({"status": "failed", "error": {"code": word, "message": sentence}});
            let answer = self.answer.as_deref().cloned().unwrap_or_else(plain);
            // Whoever has left does not want to know.
            drop(terminal::print(format_args!("{answer}\n")));
        }
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.sentence, &self.source) {
            (Some(sentence), _) => f.write_str(sentence),
            (None, Some(source)) => source.fmt(f),
            (None, None) => f.write_str(&self.word),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        if self.sentence.is_some() { Some(source) } else { source.source() }
    }
}

/// What a terminal or a pipe of ours reports.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let code = of_disk(&error, Code::IoError);
        Self::new(code, "cannot go on").with_source(error)
    }
}

/// What a daemon answers, or that it does not.
impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        if let Some(word) = error.code() {
            return Self::of_the_api(word, error.to_string());
        }
        let code = match error.kind() {
            ClientErrorKind::Unreachable => Code::DaemonUnreachable,
            ClientErrorKind::Refused(_) | ClientErrorKind::Unexpected => Code::UnexpectedAnswer,
            ClientErrorKind::Broken => Code::ConnectionBroken,
            ClientErrorKind::Unreadable => Code::of_disk(&error, Code::CannotRead),
            ClientErrorKind::Unwritable => Code::of_disk(&error, Code::CannotWrite),
        };
        Self::caused_by(code, error)
    }
}

/// The code of an error of the operating system; `usual` if it is no want of room.
fn of_disk(error: &io::Error, usual: Code) -> Code {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
        _ => usual,
    }
}

impl Code {
    /// [`Code::DiskFull`] where a want of room led to an error, else `usual`.
    #[must_use]
    pub fn of_disk(error: &(dyn Error + 'static), usual: Self) -> Self {
        let cause = causes(error).find_map(|it| it.downcast_ref::<io::Error>());
        cause.map_or(usual, |it| of_disk(it, usual))
    }
}

/// An error and what led to it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&it| it.source())
}

fn is_broken_pipe(cause: &(dyn Error + 'static)) -> bool {
    let error = cause.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
