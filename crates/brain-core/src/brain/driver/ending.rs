//! The end of a turn: appending the answer, or what there is of it, once.

use std::{sync::Arc, time::Duration};

use super::{
    super::{CANCELLED, SUPERSEDED, TurnEnd, recovery::CLOSING_STEP, turn},
    Driver,
};
use crate::{
    chat::{Message, Usage},
    ids::{AppendId, Seq},
    llm::{Estimate, LlmError, LlmErrorKind, TokenCounter, Tokens},
    memory::{
        Append, Authority, CloseTurn, Draft, Entry, EntryBody, EntryError, EntryStatus, Expect,
        MemoryError, MemoryErrorKind, TurnError, TurnRecord, TurnState,
    },
    tool::ToolError,
    window::{ContextReport, WindowTooSmall},
};

/// Why a turn ended before its answer was whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("the turn was stopped")]
    Cancelled,
    #[error("the turn is over, was forgotten, or is held by another process")]
    Superseded,
    #[error("the turn took too long; ask for less at once")]
    TimeUp,
    #[error("the answer became too long; ask for less at once")]
    TooLong,
    #[error("the model kept calling tools; ask for less at once")]
    TooManyRounds,
    #[error("an internal error ended the turn; it is in the log")]
    Panicked,
    #[error("the tool `{0}` is broken; its error is in the log")]
    Tool(String, #[source] ToolError),
    #[error(transparent)]
    Window(#[from] WindowTooSmall),
    #[error(transparent)]
    Llm(#[from] LlmError),
    #[error(transparent)]
    Memory(MemoryError),
    #[error("{first}; none of {asked} models answered")]
    NoneAnswered { first: Box<Self>, asked: usize },
}

impl From<MemoryError> for Stop {
    fn from(error: MemoryError) -> Self {
        if error.kind() == MemoryErrorKind::Superseded {
            return Self::Superseded;
        }
        Self::Memory(error)
    }
}

impl Stop {
    /// The stream ended without saying how.
    pub(super) fn broke_off() -> Self {
        let message = "the answer broke off before its end; ask again";
        Self::Llm(LlmError::new(LlmErrorKind::Interrupted, message))
    }

    /// A stable code for clients and logs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Cancelled => CANCELLED,
            Self::Superseded => SUPERSEDED,
            Self::TimeUp => "turn_timeout",
            Self::TooLong => "answer_too_long",
            Self::TooManyRounds => "too_many_tool_rounds",
            Self::Panicked => "internal_error",
            Self::Tool(..) => "tool_broken",
            Self::Window(_) => LlmErrorKind::ContextOverflow.code(),
            Self::Llm(error) => error.kind().code(),
            Self::Memory(error) => error.kind().code(),
            Self::NoneAnswered { first, .. } => first.code(),
        }
    }

    /// How long the provider asked to wait before it is asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Llm(error) => error.retry_after(),
            Self::NoneAnswered { first, .. } => first.retry_after(),
            Self::Cancelled
            | Self::Superseded
            | Self::TimeUp
            | Self::TooLong
            | Self::TooManyRounds
            | Self::Panicked
            | Self::Tool(..)
            | Self::Window(_)
            | Self::Memory(_) => None,
        }
    }

    fn to_error(&self) -> TurnError {
        let retry_after = self.retry_after();
        TurnError { code: self.code().to_owned(), message: self.to_string(), retry_after }
    }
}

impl Driver {
    /// Appends the answer, closes the turn, and tells its listeners.
    pub(super) async fn end(&mut self, stop: Option<&Stop>) {
        if let Some(stop) = stop {
            log_stop(stop);
        }
        let mut end = match self.close(stop).await {
            Ok(end) => end,
            Err(error) => {
                tracing::error!(%error, source = ?std::error::Error::source(&error), "could not store the end of a turn");
                let stop = Stop::from(error);
                self.end_event(stop_state(self.has_something()), Some(stop.to_error()))
            }
        };
        self.leave_to_background(end.status);
        end.context = self.report();
        self.live.log.push(end.into());
    }

    async fn close(&self, stop: Option<&Stop>) -> Result<TurnEnd, MemoryError> {
        let something = self.has_something();
        let state = if stop.is_none() { TurnState::Completed } else { stop_state(something) };
        let error = stop.map(Stop::to_error);
        let drafts = self.closing_drafts(state, error.as_ref())?;
        let record = self.store_end(state, error.clone(), drafts.clone()).await?;
        let mut end = self.end_event(state, error);
        end.answer = record.answer.zip(drafts.last()).map(|(seq, draft)| Entry {
            seq,
            parent: match drafts.len() {
                1 => self.tail(),
                _ => seq.0.checked_sub(1).map(Seq),
            },
            body: Arc::clone(draft.body()),
        });
        Ok(end)
    }

    async fn store_end(
        &self,
        state: TurnState,
        error: Option<TurnError>,
        drafts: Vec<Draft>,
    ) -> Result<TurnRecord, MemoryError> {
        let close = CloseTurn {
            turn: self.record.id,
            authority: Authority::Holder(self.inner.holder),
            state,
            append: Append {
                parent: self.tail(),
                expect: Expect::Attach,
                append_id: AppendId::of_turn(self.record.id, CLOSING_STEP),
                fence: None,
                drafts,
            },
            error,
            usage: self.usage(),
            context: self.report(),
            last_event: self.live.log.last() + 1,
        };
        self.persist(|| self.inner.ports.store.close(close.clone())).await
    }

    fn closing_drafts(
        &self,
        state: TurnState,
        error: Option<&TurnError>,
    ) -> Result<Vec<Draft>, MemoryError> {
        let status = match state {
            TurnState::Completed => EntryStatus::Complete,
            TurnState::Interrupted => EntryStatus::Interrupted,
            TurnState::Failed | TurnState::Running | TurnState::Waiting => EntryStatus::Failed,
        };
        let messages = match self.turn.answer() {
            Some(answer) if state == TurnState::Completed => vec![answer.clone()],
            Some(reply) => turn::round(Some(reply.clone()), self.turn.calls()),
            None => vec![self.partial.clone().into_partial_message()],
        };
        let now = self.inner.ports.clock.now();
        let body = |(position, message): (usize, Message)| EntryBody {
            status: if position == 0 { status } else { EntryStatus::Complete },
            model: self.answered_by().filter(|_| position == 0),
            finish_reason: self
                .finish_reason
                .filter(|_| position == 0 && state == TurnState::Completed),
            usage: self.usage().filter(|_| position == 0),
            error: error.filter(|_| position == 0).cloned().map(EntryError::from),
            ..EntryBody::complete(message, now)
        };
        messages.into_iter().enumerate().map(|it| Draft::new(body(it))).collect()
    }

    fn end_event(&self, status: TurnState, error: Option<TurnError>) -> TurnEnd {
        TurnEnd {
            session_id: self.live.session.clone(),
            turn_id: self.live.turn,
            status,
            answer: None,
            usage: self.usage(),
            context: None,
            error,
        }
    }

    /// What the model was shown that was asked last, and who was asked before it.
    fn report(&self) -> Option<ContextReport> {
        let fallback = self.candidates.passed_over().to_vec();
        self.context.clone().map(|it| ContextReport { fallback, ..it })
    }

    /// The model that answered; of an answer that broke off, as it was asked for.
    fn answered_by(&self) -> Option<String> {
        let asked = self.candidates.current();
        let broke_off = !self.partial.is_empty() && !asked.is_empty();
        self.model.clone().or_else(|| broke_off.then(|| asked.to_owned()))
    }

    /// Whether anything has arrived that is not in the history yet.
    fn has_something(&self) -> bool {
        !self.partial.is_empty() || self.turn.answer().is_some()
    }

    /// What the turn cost: of each model call the provider's figures, or an estimate where it gave
    /// none; `None` if nothing came of any.
    fn usage(&self) -> Option<Usage> {
        let partial = &self.partial;
        let said = [partial.text(), partial.reasoning()];
        let estimate = || self.taken_tokens.map(|it| estimated_usage(it, said));
        let under_way = partial.usage().or_else(estimate);
        self.turn.usage().into_iter().chain(under_way).reduce(|mut sum, usage| {
            sum += usage;
            sum
        })
    }
}

/// What a model call cost that read so many tokens and said this.
pub(super) fn estimated_usage<'a>(
    input_tokens: u64,
    said: impl IntoIterator<Item = &'a str>,
) -> Usage {
    let output = said.into_iter().map(|text| Estimate.text(text)).sum::<Tokens>();
    Usage { input_tokens, output_tokens: output.count, cached_tokens: 0, estimated: true }
}

fn stop_state(something: bool) -> TurnState {
    if something { TurnState::Interrupted } else { TurnState::Failed }
}

fn log_stop(stop: &Stop) {
    let source = std::error::Error::source(stop);
    match stop {
        Stop::Cancelled | Stop::Superseded => tracing::info!(code = stop.code(), "{stop}"),
        Stop::TimeUp
        | Stop::TooLong
        | Stop::TooManyRounds
        | Stop::Window(_)
        | Stop::Llm(_)
        | Stop::NoneAnswered { .. } => {
            tracing::warn!(code = stop.code(), ?source, "{stop}");
        }
        Stop::Panicked | Stop::Tool(..) | Stop::Memory(_) => {
            tracing::error!(code = stop.code(), ?source, "{stop}");
        }
    }
}
