//! How a wire spells an answer: the port's events in, its pieces out.

use brain_core::{
    chat::{ToolCall, Usage},
    llm::{ChatEvent, FinishReason, LlmError},
};
use serde_json::Value;

use super::frame::{Frame, Framing};

/// Spells one answer of one wire.
pub(super) trait Speaker: Send {
    /// How its pieces are told apart.
    fn framing(&self) -> Framing;

    /// What comes before the answer.
    fn begin(&mut self) -> Vec<Frame> {
        Vec::new()
    }

    /// What the event becomes.
    fn event(&mut self, event: &ChatEvent) -> Vec<Frame>;

    /// What a failure in the middle of the answer becomes.
    fn fail(&mut self, error: &LlmError) -> Vec<Frame> {
        vec![Frame::json(self.error(&error.to_string()))]
    }

    /// An error in place of a piece.
    fn error(&self, message: &str) -> Value;

    /// The answer in one piece.
    fn whole(&mut self, whole: Whole) -> Value;
}

/// An answer that was put together.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) calls: Vec<ToolCall>,
    pub(super) usage: Usage,
    pub(super) reason: Option<FinishReason>,
}

impl Whole {
    pub(super) fn add(&mut self, event: ChatEvent) {
        match event {
            ChatEvent::Text(text) => self.text += &text,
            ChatEvent::Reasoning(text) => self.reasoning += &text,
            ChatEvent::ToolCall(call) => self.calls.push(call),
            ChatEvent::Usage(usage) => self.usage = usage,
            ChatEvent::Finished(finish) => self.reason = Some(finish.reason),
            ChatEvent::Progress(_) | ChatEvent::ToolCallDelta(_) => {}
        }
    }
}

/// What OpenAI calls the reason.
pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
    }
}
