//! A whole answer, and the only fold that makes one from events.

use futures_util::{StreamExt, TryStreamExt};

use super::{ChatEvent, ChatRequest, ChatStream, Finish, LlmError, LlmErrorKind, LlmGateway};
use crate::chat::{Message, Part, Role, ToolCall, Usage};

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// What the model said, tool calls included.
    pub message: Message,
    /// How it ended.
    pub finish: Finish,
    /// What it cost; `None` when the provider did not say.
    pub usage: Option<Usage>,
}

/// Folds [`ChatEvent`]s into a [`Reply`]; pure, so that every consumer shares it.
#[derive(Clone, Debug, Default)]
pub struct PartialReply {
    text: String,
    reasoning: String,
    calls: Vec<ToolCall>,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

impl PartialReply {
    /// Takes the next event.
    pub fn push(&mut self, event: ChatEvent) {
        match event {
            ChatEvent::Progress(_) | ChatEvent::ToolCallDelta(_) => {}
            ChatEvent::Text(text) => self.text.push_str(&text),
            ChatEvent::Reasoning(text) => self.reasoning.push_str(&text),
            ChatEvent::ToolCall(call) => self.calls.push(call),
            ChatEvent::Usage(usage) => self.usage = Some(usage),
            ChatEvent::Finished(finish) => self.finish = Some(finish),
        }
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The reasoning so far.
    #[must_use]
    pub fn reasoning(&self) -> &str {
        &self.reasoning
    }

    /// What the provider said it cost so far.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Whether anything has arrived that a person or a tool could act on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.calls.is_empty()
    }

    /// Whether [`ChatEvent::Finished`] has come.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// What there is so far, without tool calls: a call that was cut off never runs.
    #[must_use]
    pub fn into_partial_message(self) -> Message {
        message(self.text, self.reasoning, Vec::new())
    }

    /// Ends the fold.
    ///
    /// # Errors
    ///
    /// [`LlmErrorKind::Interrupted`] when no [`ChatEvent::Finished`] came.
    pub fn finish(self) -> Result<Reply, LlmError> {
        let Some(finish) = self.finish else {
            let message = "the answer broke off before its end; ask again";
            return Err(LlmError::new(LlmErrorKind::Interrupted, message));
        };
        let message = message(self.text, self.reasoning, self.calls);
        Ok(Reply { message, finish, usage: self.usage })
    }
}

fn message(text: String, reasoning: String, tool_calls: Vec<ToolCall>) -> Message {
    let content = if text.is_empty() { Vec::new() } else { vec![Part::Text { text }] };
    let reasoning = (!reasoning.is_empty()).then_some(reasoning);
    let role = Role::Assistant;
    Message { role, content, tool_calls, tool_call_id: None, reasoning, extra: None }
}

/// Conveniences on top of [`LlmGateway`]; never implemented by hand.
pub trait LlmGatewayExt: LlmGateway {
    /// Waits for the whole answer.
    fn complete(
        &self,
        request: ChatRequest,
    ) -> impl Future<Output = Result<Reply, LlmError>> + Send {
        async move {
            let mut stream = self.stream(request).await?;
            let mut reply = PartialReply::default();
            while let Some(event) = stream.try_next().await? {
                reply.push(event);
            }
            reply.finish()
        }
    }
}

impl<T: LlmGateway + ?Sized> LlmGatewayExt for T {}

/// Turns a list of events into a [`ChatStream`]; for adapters without streaming, and for tests.
#[must_use]
pub fn ready_stream(events: Vec<ChatEvent>) -> ChatStream {
    futures_util::stream::iter(events.into_iter().map(Ok)).boxed()
}
