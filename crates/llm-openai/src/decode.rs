//! From the chunks of an answer to our events; pure.
//!
//! It knows neither bytes nor sockets. Whether an answer that ended is whole decides
//! [`ChunkDecoder::end`].

mod calls;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use brain_core::{
    chat::Usage,
    llm::{ChatEvent, Finish, FinishReason, LlmError, LlmErrorKind},
};
use llm_http::{Endpoint, Refusal, repair_surrogates};

use self::calls::Calls;
use crate::wire::{
    CallFragment, ChatCompletionChunk, Choice, Delta, WireUsage, content_text, filled,
};

/// Decodes the chunks of one answer.
#[derive(Debug)]
pub(crate) struct ChunkDecoder {
    endpoint: Arc<Endpoint>,
    /// As asked for, until the server names it.
    model: String,
    calls: Calls,
    /// A `finish_reason` was seen.
    reason: Option<FinishReason>,
    /// Something of the answer has been handed on.
    begun: bool,
    /// Something came that is no piece of an answer.
    skipped: bool,
}

impl ChunkDecoder {
    /// A decoder for an answer of `model`; `call_prefix` begins the ids of its tool calls and is
    /// unique.
    pub(crate) fn new(endpoint: Arc<Endpoint>, model: &str, call_prefix: String) -> Self {
        let calls = Calls::new(call_prefix);
        Self {
            endpoint,
            model: model.to_owned(),
            calls,
            reason: None,
            begun: false,
            skipped: false,
        }
    }

    /// Takes one chunk's JSON; a whole `chat.completion` will do as well.
    pub(crate) fn chunk(
        &mut self,
        json: &str,
        events: &mut VecDeque<ChatEvent>,
    ) -> Result<(), LlmError> {
        if !json.trim_start().starts_with('{') {
            tracing::debug!("a piece of the answer is no object; it is skipped");
            self.skipped |= json.trim() != "null";
            return Ok(());
        }
        let json = repair_surrogates(json);
        let chunk: ChatCompletionChunk<'_> = serde_json::from_str(&json).map_err(|error| {
            self.endpoint.misspoke("sent a piece of an answer that is not JSON").with_source(error)
        })?;
        if is_error(&chunk) {
            return Err(self.refused(&json));
        }
        if let Some(model) = filled(chunk.model.as_ref())
            && model != self.model
        {
            model.clone_into(&mut self.model);
        }
        let before = events.len();
        // Only one answer is asked for; a server that sends more is not heard.
        let first = |choice: &&Choice<'_>| choice.index.unwrap_or(0) == 0;
        for choice in chunk.choices.iter().flatten().filter(first) {
            self.choice(choice, events);
        }
        self.begun |= before < events.len();
        events.extend(chunk.usage.as_ref().and_then(usage).map(ChatEvent::Usage));
        Ok(())
    }

    fn choice(&mut self, choice: &Choice<'_>, events: &mut VecDeque<ChatEvent>) {
        if let Some(delta) = &choice.delta {
            self.delta(delta, events);
            for fragment in delta.tool_calls.iter().flatten() {
                events.extend(self.calls.push(fragment).map(ChatEvent::ToolCallDelta));
            }
        }
        if let Some(message) = &choice.message {
            self.delta(message, events);
            // Whole calls, whose places in the list are their indexes.
            for (place, call) in (0..).zip(message.tool_calls.iter().flatten()) {
                let fragment = CallFragment { index: Some(place), ..call.clone() };
                events.extend(self.calls.push(&fragment).map(ChatEvent::ToolCallDelta));
            }
        }
        if let Some(reason) = filled(choice.finish_reason.as_ref()) {
            self.reason = Some(finish_reason(reason));
        }
    }

    fn delta(&self, delta: &Delta<'_>, events: &mut VecDeque<ChatEvent>) {
        let reasoning =
            filled(delta.reasoning_content.as_ref()).or(filled(delta.reasoning.as_ref()));
        events.extend(reasoning.map(|it| ChatEvent::Reasoning(it.to_owned())));
        let content = delta.content.map(content_text).filter(|it| !it.is_empty());
        events.extend(content.map(|it| ChatEvent::Text(it.into_owned())));
        // A refusal is what the model says, in another field.
        events.extend(filled(delta.refusal.as_ref()).map(|it| ChatEvent::Text(it.to_owned())));
    }

    /// Ends the answer. `marked` when the server said that it is whole.
    ///
    /// # Errors
    ///
    /// [`LlmErrorKind::Interrupted`] when neither a mark nor a `finish_reason` was seen;
    /// [`LlmErrorKind::Protocol`] when all that came was no piece of an answer.
    pub(crate) fn end(
        &mut self,
        marked: bool,
        events: &mut VecDeque<ChatEvent>,
    ) -> Result<(), LlmError> {
        if self.skipped && !self.begun {
            return Err(self.endpoint.misspoke("sent nothing that is a piece of an answer"));
        }
        let said = match self.reason {
            Some(reason) => reason,
            None if marked => FinishReason::Stop,
            None => return Err(self.endpoint.interrupted()),
        };
        let cut = matches!(said, FinishReason::Length | FinishReason::ContentFilter);
        let calls = self.calls.take(cut);
        // Servers say `stop` for calls and `tool_calls` without any: the calls decide.
        let reason = match (cut, calls.is_empty()) {
            (true, _) => said,
            (false, true) => FinishReason::Stop,
            (false, false) => FinishReason::ToolCalls,
        };
        events.extend(calls.into_iter().map(ChatEvent::ToolCall));
        let model = std::mem::take(&mut self.model);
        events.push_back(ChatEvent::Finished(Finish { reason, model }));
        Ok(())
    }

    /// Whose answer it is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the server has said how the answer ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.reason.is_some()
    }

    /// Whether anything of an answer has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun || self.is_finished()
    }

    /// The failure that an error in place of a chunk states.
    pub(crate) fn refused(&self, json: &str) -> LlmError {
        let refusal = Refusal::in_stream(&self.endpoint, json.as_bytes());
        match refusal.kind() {
            LlmErrorKind::Unavailable if self.begun => {
                self.endpoint.refused_as(LlmErrorKind::Interrupted, refusal)
            }
            kind => self.endpoint.refused_as(kind, refusal),
        }
    }
}

/// An error may come in place of any chunk: as an `error`, or flat with `"object": "error"`.
fn is_error(chunk: &ChatCompletionChunk<'_>) -> bool {
    chunk.error.is_some_and(|error| error.get() != "null")
        || filled(chunk.object.as_ref()) == Some("error")
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "length" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        // Calls decide about `tool_calls`; other words are servers' own names for a natural end.
        _ => FinishReason::Stop,
    }
}

/// The usage, unless it is empty: some servers send zeros when they did not count.
pub(crate) fn usage(wire: &WireUsage) -> Option<Usage> {
    let cached = wire.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
    let usage = Usage {
        input_tokens: wire.prompt_tokens.unwrap_or(0),
        output_tokens: wire.completion_tokens.unwrap_or(0),
        cached_tokens: cached.unwrap_or(0),
        estimated: false,
    };
    (usage != Usage::default()).then_some(usage)
}
