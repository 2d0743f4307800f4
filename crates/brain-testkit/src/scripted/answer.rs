//! One scripted answer: what it says, where it waits, how it ends.

use std::collections::VecDeque;

use brain_core::{
    chat::{ToolCall, Usage},
    llm::{ChatEvent, ChatStream, Finish, FinishReason, LlmError, LlmErrorKind},
};
use futures_util::stream::{self, StreamExt};

use crate::Gate;

/// An answer, built step by step.
///
/// Without [`Answer::finish`] or [`Answer::fail`] it ends as a broken adapter would end it:
/// without either.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    start: VecDeque<Step>,
    steps: VecDeque<Step>,
    calls: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Event(ChatEvent),
    Finish(FinishReason),
    Fail(LlmErrorKind, String),
    Wait(Gate),
    Panic,
}

impl Answer {
    /// An answer that says nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A whole answer of this text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new().say(text).finish()
    }

    /// No answer: the request itself fails.
    #[must_use]
    pub fn refused(kind: LlmErrorKind, message: impl Into<String>) -> Self {
        let start = VecDeque::from([Step::Fail(kind, message.into())]);
        Self { start, ..Self::new() }
    }

    /// The same answer, which begins only once the gate is open.
    #[must_use]
    pub fn after(mut self, gate: &Gate) -> Self {
        self.start.push_front(Step::Wait(gate.clone()));
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }

    /// Then this event.
    #[must_use]
    pub fn event(self, event: ChatEvent) -> Self {
        self.step(Step::Event(event))
    }

    /// Then this text.
    #[must_use]
    pub fn say(self, text: impl Into<String>) -> Self {
        self.event(ChatEvent::Text(text.into()))
    }

    /// Then this reasoning.
    #[must_use]
    pub fn think(self, text: impl Into<String>) -> Self {
        self.event(ChatEvent::Reasoning(text.into()))
    }

    /// Then a tool call.
    #[must_use]
    pub fn call(mut self, id: &str, name: &str, arguments: &str) -> Self {
        self.calls = true;
        let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
        self.event(ChatEvent::ToolCall(ToolCall { id, name, arguments, provider_id: None }))
    }

    /// Then the cost.
    #[must_use]
    pub fn usage(self, input_tokens: u64, output_tokens: u64) -> Self {
        let usage = Usage { input_tokens, output_tokens, ..Usage::default() };
        self.event(ChatEvent::Usage(usage))
    }

    /// Then nothing until the gate is open.
    #[must_use]
    pub fn wait(self, gate: &Gate) -> Self {
        self.step(Step::Wait(gate.clone()))
    }

    /// Then the end: for the tool calls if there were any, else because all is said.
    #[must_use]
    pub fn finish(self) -> Self {
        let reason = if self.calls { FinishReason::ToolCalls } else { FinishReason::Stop };
        self.finish_for(reason)
    }

    /// Then the end, for this reason.
    #[must_use]
    pub fn finish_for(self, reason: FinishReason) -> Self {
        self.step(Step::Finish(reason))
    }

    /// Then a failure, which ends the answer.
    #[must_use]
    pub fn fail(self, kind: LlmErrorKind, message: impl Into<String>) -> Self {
        self.step(Step::Fail(kind, message.into()))
    }

    /// Then a panic, as a bug of an adapter would have it.
    #[must_use]
    pub fn panic(self) -> Self {
        self.step(Step::Panic)
    }

    /// Plays the answer of `model`; `on_cancel` is called if it is dropped before its end.
    pub(super) async fn play(
        self,
        model: String,
        on_cancel: impl FnOnce() + Send + 'static,
    ) -> Result<ChatStream, LlmError> {
        let mut playing = Playing { model, steps: self.start, on_cancel: Some(on_cancel) };
        playing.next().await.transpose()?;
        playing.steps = self.steps;
        Ok(stream::unfold(playing, |mut playing| async {
            let item = playing.next().await;
            if item.is_none() {
                playing.on_cancel = None;
            }
            item.map(|item| (item, playing))
        })
        .boxed())
    }
}

/// An answer that has begun. Dropped before its end, it calls its function.
struct Playing<F: FnOnce()> {
    model: String,
    steps: VecDeque<Step>,
    on_cancel: Option<F>,
}

impl<F: FnOnce()> Playing<F> {
    /// What the next step that yields something yields, once it is its time.
    async fn next(&mut self) -> Option<Result<ChatEvent, LlmError>> {
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Event(event) => return Some(Ok(event)),
                Step::Wait(gate) => gate.pass().await,
                Step::Panic => panic!("the script says so"),
                Step::Finish(reason) => {
                    self.on_cancel = None;
                    let model = self.model.clone();
                    return Some(Ok(ChatEvent::Finished(Finish { reason, model })));
                }
                Step::Fail(kind, message) => {
                    self.on_cancel = None;
                    return Some(Err(LlmError::new(kind, message)));
                }
            }
        }
        None
    }
}

impl<F: FnOnce()> Drop for Playing<F> {
    fn drop(&mut self) {
        if let Some(on_cancel) = self.on_cancel.take() {
            on_cancel();
        }
    }
}
