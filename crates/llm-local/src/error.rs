//! The sentences that people read when the local model cannot answer.
//!
//! Each says what is wrong and what to do; drivers' words stay in the source, for the log.

use std::path::Path;

use brain_core::{
    BoxError,
    llm::{LlmError, LlmErrorKind},
};

/// There is no chat model where one is expected.
pub(crate) fn no_chat_model(path: Option<&Path>) -> LlmError {
    let message = format!(
        "{}; run `scripts/get-model` or `codexd models pull PATH_OR_URL`, or set LOCAL_MODEL_PATH \
         to a model file",
        absence("chat", path)
    );
    LlmError::new(LlmErrorKind::ModelNotFound, message)
}

/// There is no embedding model where one is expected.
pub(crate) fn no_embedding_model(path: Option<&Path>) -> LlmError {
    let message = format!(
        "{}; run `scripts/get-model`, or set EMBEDDING_MODEL to a model's folder",
        absence("embedding", path)
    );
    LlmError::new(LlmErrorKind::ModelNotFound, message)
}

fn absence(what: &str, path: Option<&Path>) -> String {
    match path {
        Some(path) => format!("there is no {what} model at {}", path.display()),
        None => format!("no {what} model is installed"),
    }
}

/// The gateway has a model, but not the one that was asked for.
pub(crate) fn unknown_model(asked: &str, known: &str) -> LlmError {
    let message = format!("there is no local model `{asked}`; the local model is `{known}`");
    LlmError::new(LlmErrorKind::ModelNotFound, message)
}

/// The file is there, but cannot be read as a model.
pub(crate) fn damaged(path: &Path, source: impl Into<BoxError>) -> LlmError {
    let message = format!(
        "the model file {} is damaged or is no model file; fetch it again with \
         `scripts/get-model` or `codexd models pull PATH_OR_URL`",
        path.display()
    );
    LlmError::new(LlmErrorKind::Damaged, message).with_source(source)
}

/// The file is there, but the system does not let us read it.
pub(crate) fn unreadable(path: &Path, source: std::io::Error) -> LlmError {
    let message =
        format!("the model file {} cannot be opened: {source}; check its rights", path.display());
    LlmError::new(LlmErrorKind::Unavailable, message).with_source(source)
}

/// The file is a model of a kind that this crate does not run.
pub(crate) fn unsupported_model(path: &Path, what: &str) -> LlmError {
    let message = format!(
        "the model file {} {what}, which the local model cannot run; use a SmolLM2 GGUF file \
         (`scripts/get-model` fetches one) or another provider",
        path.display()
    );
    LlmError::new(LlmErrorKind::Unsupported, message)
}

/// The request asks for what the local model does not do.
pub(crate) fn rejected(message: impl Into<String>) -> LlmError {
    LlmError::new(LlmErrorKind::Rejected, message)
}

/// The conversation does not fit.
pub(crate) fn too_long(tokens: usize, context: usize, exact: bool) -> LlmError {
    let at_least = if exact { "" } else { "at least " };
    let message = format!(
        "the conversation has {at_least}{tokens} tokens, and the local model reads at most \
         {context}, its answer included; shorten it or start a new session"
    );
    LlmError::new(LlmErrorKind::ContextOverflow, message)
}

/// The queue is full.
pub(crate) fn overloaded(waiting: usize) -> LlmError {
    let message = format!(
        "{waiting} requests wait for the local model already, which answers one at a time; try \
         again in a moment"
    );
    LlmError::new(LlmErrorKind::Overloaded, message)
}

/// The engine failed in the middle of its work.
pub(crate) fn engine(source: impl Into<BoxError>) -> LlmError {
    let message = "the local model failed to compute an answer; ask again, and if it fails again \
                   fetch the model anew with `scripts/get-model`";
    LlmError::new(LlmErrorKind::Unavailable, message).with_source(source)
}

/// The worker thread ended before the answer did.
pub(crate) fn stopped() -> LlmError {
    LlmError::new(LlmErrorKind::Interrupted, "the local model was stopped; ask again")
}
