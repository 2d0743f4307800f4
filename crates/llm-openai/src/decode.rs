//! From the chunks of an answer to our events; pure.
//!
//! It knows neither bytes nor sockets. Whether an answer that ended is whole decides
//! [`ChunkDecoder::end`].

mod calls;
mod infill;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use brain_core::{
    chat::Usage,
    llm::{ChatEvent, Finish, FinishReason, LlmError, LlmErrorKind},
};
use llm_http::{Endpoint, Refusal, repair_surrogates};
use serde_json::value::RawValue;

use self::calls::Calls;
use crate::wire::{
    CallFragment, ChatCompletionChunk, Choice, Delta, WireUsage, content_text, filled,
};

/// How the pieces of an answer look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Choices with messages, deltas or texts.
    Choices,
    /// llama.cpp's filled gap.
    Infill,
}

/// Decodes the chunks of one answer.
#[derive(Debug)]
pub(crate) struct ChunkDecoder {
    endpoint: Arc<Endpoint>,
    shape: Shape,
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
    /// A decoder for an answer of `model` in this shape; `call_prefix` begins the ids of its tool calls and is
    /// unique.
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        shape: Shape,
        model: &str,
        call_prefix: String,
    ) -> Self {
        let calls = Calls::new(call_prefix);
        Self {
            endpoint,
            shape,
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
        match self.shape {
            Shape::Choices => self.choices(&json, events),
            Shape::Infill => self.infill(&json, events),
        }
    }

    fn choices(&mut self, json: &str, events: &mut VecDeque<ChatEvent>) -> Result<(), LlmError> {
        let chunk: ChatCompletionChunk<'_> =
            serde_json::from_str(json).map_err(|error| self.no_json(error))?;
        self.name(filled(chunk.model.as_ref()));
        let before = events.len();
        // Only one answer is asked for; a server that sends more is not heard.
        let first = |choice: &&Choice<'_>| choice.index.unwrap_or(0) == 0;
        let failure = failure(&chunk, json);
        for choice in chunk.choices.iter().flatten().filter(first) {
            self.choice(choice, events);
        }
        self.begun |= before < events.len();
        let groq = chunk.x_groq.as_ref().and_then(|it| it.usage.as_ref());
        // What a failure cost is known to its chunk only.
        let cost = chunk.usage.as_ref().or(groq).and_then(usage);
        events.extend(cost.map(ChatEvent::Usage));
        failure.map_or(Ok(()), |stated| Err(self.refused(&stated)))
    }

    /// Takes the name of who answers.
    fn name(&mut self, model: Option<&str>) {
        if let Some(model) = model
            && model != self.model
        {
            model.clone_into(&mut self.model);
        }
    }

    fn no_json(&self, error: serde_json::Error) -> LlmError {
        self.endpoint.misspoke("sent a piece of an answer that is not JSON").with_source(error)
    }

    fn choice(&mut self, choice: &Choice<'_>, events: &mut VecDeque<ChatEvent>) {
        if let Some(delta) = &choice.delta {
            self.delta(delta, events);
            for fragment in delta.tool_calls.iter().flatten() {
                events.extend(self.calls.push(fragment).map(ChatEvent::ToolCallDelta));
            }
        }
        events.extend(filled(choice.text.as_ref()).map(|it| ChatEvent::Text(it.to_owned())));
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
        let (thought, content) = delta.content.map(content_text).unwrap_or_default();
        events.extend(Some(thought).filter(|it| !it.is_empty()).map(ChatEvent::Reasoning));
        let content = Some(content).filter(|it| !it.is_empty());
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

/// The JSON of the failure that a chunk states: as an `error` of its own or of a choice, flat with
/// `"object": "error"`, or by a word in the place of a natural end.
fn failure<'a>(chunk: &'a ChatCompletionChunk<'_>, json: &'a str) -> Option<Cow<'a, str>> {
    let stated = |error: Option<&'a RawValue>| error.filter(|error| error.get() != "null");
    if stated(chunk.error).is_some() || filled(chunk.object.as_ref()) == Some("error") {
        return Some(Cow::Borrowed(json));
    }
    let choices = || chunk.choices.iter().flatten();
    let reason = |choice: &'a Choice<'_>| filled(choice.finish_reason.as_ref());
    let of_choice = choices().find_map(|it| stated(it.error));
    let groq = || chunk.x_groq.as_ref().and_then(|it| filled(it.error.as_ref()));
    let word = || choices().filter_map(reason).find(|it| BROKEN_ENDS.contains(it));
    match (of_choice, groq().or_else(word)) {
        (Some(error), _) => Some(format!(r#"{{"error":{}}}"#, error.get()).into()),
        (None, Some(words)) => Some(serde_json::json!({ "error": words }).to_string().into()),
        (None, None) => None,
    }
}

/// Reasons of servers that gave the answer up: OpenRouter's and Mistral's, vLLM's, DeepSeek's.
const BROKEN_ENDS: &[&str] = &["error", "abort", "insufficient_system_resource"];

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        // The second is Mistral's, of a model's own limit.
        "length" | "model_length" => FinishReason::Length,
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
