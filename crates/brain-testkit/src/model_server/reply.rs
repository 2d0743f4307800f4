//! What a script has the server say: answers, and faults.

use brain_core::llm::{FinishReason, LlmErrorKind};
use serde::Deserialize;
use serde_json::Value;

use super::Fault;
use crate::Answer;

/// The next answer of a script.
///
/// An [`Answer`] alone goes to whoever asks next for one. With a path it is kept for requests whose
/// path ends so, which may be any: `/api/pull`, `/embeddings`.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What is said; `None` leaves it to the seed.
    pub(super) answer: Option<Answer>,
    pub(super) fault: Option<Fault>,
    pub(super) path: Option<String>,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self { answer: Some(answer), fault: None, path: None }
    }
}

impl From<Fault> for Reply {
    /// Whatever the seed says, with this fault.
    fn from(fault: Fault) -> Self {
        Self { answer: None, fault: Some(fault), path: None }
    }
}

impl Reply {
    /// The same with a fault.
    #[must_use]
    pub fn with(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// The same, kept for requests whose path ends so.
    #[must_use]
    pub fn at(self, path: impl Into<String>) -> Self {
        Self { path: Some(path.into()), ..self }
    }

    /// A script of JSON lines: one object a line, blank lines and those that begin with `#` left
    /// out.
    ///
    /// Fields, all optional: `think` and `say` (a text or a list of pieces), `calls` (a list of
    /// `{id, name, arguments}`), `usage` (`[input, output]`), `finish` (`stop`, `length`,
    /// `tool_calls`, `content_filter`, or `none` to end without), `fail` or `refuse` (`{code,
    /// message}`), `fault`, `path`.
    ///
    /// # Errors
    ///
    /// A sentence that names the line.
    pub fn script(text: &str) -> Result<Vec<Self>, String> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|(number, line)| {
                let read = serde_json::from_str(line).map_err(|error| error.to_string());
                read.and_then(Line::into_reply).map_err(|error| format!("line {number}: {error}"))
            })
            .collect()
    }
}

/// One line of a script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    think: Pieces,
    #[serde(default)]
    say: Pieces,
    #[serde(default)]
    calls: Vec<Call>,
    usage: Option<(u64, u64)>,
    finish: Option<String>,
    fail: Option<Failure>,
    refuse: Option<Failure>,
    fault: Option<String>,
    path: Option<String>,
}

/// A text, or its pieces.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Pieces {
    Whole(String),
    Many(Vec<String>),
}

impl Default for Pieces {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Pieces {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::Whole(text) => vec![text],
            Self::Many(pieces) => pieces,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    #[serde(default)]
    id: String,
    name: String,
    #[serde(default)]
    arguments: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    code: String,
    #[serde(default)]
    message: String,
}

impl Failure {
    fn kind(&self) -> Result<LlmErrorKind, String> {
        let found = KINDS.iter().find(|it| it.code() == self.code);
        found.copied().ok_or_else(|| {
            let codes: Vec<&str> = KINDS.iter().map(|it| it.code()).collect();
            format!("there is no code `{}`; take one of {}", self.code, codes.join(", "))
        })
    }
}

const KINDS: &[LlmErrorKind] = &[
    LlmErrorKind::RateLimited,
    LlmErrorKind::QuotaExceeded,
    LlmErrorKind::ContextOverflow,
    LlmErrorKind::Unauthorised,
    LlmErrorKind::ModelNotFound,
    LlmErrorKind::Rejected,
    LlmErrorKind::Unsupported,
    LlmErrorKind::Overloaded,
    LlmErrorKind::Unavailable,
    LlmErrorKind::Interrupted,
];

impl Line {
    fn into_reply(self) -> Result<Reply, String> {
        let fault = self.fault.as_deref().map(str::parse::<Fault>).transpose();
        let fault = fault.map_err(|error| error.to_string())?;
        let path = self.path.clone();
        Ok(Reply { answer: self.into_answer()?, fault, path })
    }

    fn says_nothing(&self) -> bool {
        let silent = |it: &Pieces| matches!(it, Pieces::Many(pieces) if pieces.is_empty());
        let ends = self.finish.is_some() || self.fail.is_some();
        silent(&self.think) && silent(&self.say) && self.calls.is_empty() && !ends
    }

    fn into_answer(self) -> Result<Option<Answer>, String> {
        if let Some(failure) = self.refuse {
            return Ok(Some(Answer::refused(failure.kind()?, failure.message)));
        }
        if self.says_nothing() {
            return Ok(None);
        }
        let mut answer = self.think.into_list().into_iter().fold(Answer::new(), Answer::think);
        answer = self.say.into_list().into_iter().fold(answer, Answer::say);
        for call in &self.calls {
            answer = answer.call(&call.id, &call.name, &arguments(&call.arguments));
        }
        if let Some((input, output)) = self.usage {
            answer = answer.usage(input, output);
        }
        if let Some(failure) = self.fail {
            return Ok(Some(answer.fail(failure.kind()?, failure.message)));
        }
        Ok(Some(match self.finish.as_deref() {
            None => answer.finish(),
            Some("none") => answer,
            Some("stop") => answer.finish_for(FinishReason::Stop),
            Some("length") => answer.finish_for(FinishReason::Length),
            Some("tool_calls") => answer.finish_for(FinishReason::ToolCalls),
            Some("content_filter") => answer.finish_for(FinishReason::ContentFilter),
            Some(other) => return Err(format!("`finish` cannot be `{other}`")),
        }))
    }
}

/// Arguments as their text: a string is taken as it is, nothing is `{}`.
fn arguments(value: &Value) -> String {
    match value {
        Value::Null => "{}".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
