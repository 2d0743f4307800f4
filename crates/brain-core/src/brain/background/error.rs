//! What goes wrong in the background, and telling of it once.

use std::{
    error::Error,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{llm::LlmError, memory::MemoryError, recall::EmbedFailure};

/// Why a piece of background work was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Llm(#[from] LlmError),
    #[error("the model did not answer in time")]
    Late,
    #[error("the model said nothing")]
    Empty,
    #[error("the store does not keep the embeddings that it is given")]
    NotKept,
}

impl From<EmbedFailure> for Failure {
    fn from(failure: EmbedFailure) -> Self {
        match failure {
            EmbedFailure::Memory(error) => Self::Memory(error),
            EmbedFailure::Model(error) => Self::Llm(error),
            EmbedFailure::Malformed => Self::Empty,
        }
    }
}

/// Whether something fails just now.
#[derive(Debug, Default)]
pub(super) struct Trouble(AtomicBool);

impl Trouble {
    /// Logs the first failure in a row, and the end of it; whether it went well.
    pub(super) fn note<T>(&self, what: &'static str, outcome: Result<T, Failure>) -> Option<T> {
        let had_trouble = self.0.swap(outcome.is_err(), Ordering::SeqCst);
        match &outcome {
            Err(error) if !had_trouble => {
                tracing::warn!(%error, source = ?error.source(), "could not {what}; it is tried again later");
            }
            Err(error) => tracing::debug!(%error, "still could not {what}"),
            Ok(_) if had_trouble => tracing::info!("could {what} again"),
            Ok(_) => {}
        }
        outcome.ok()
    }
}
