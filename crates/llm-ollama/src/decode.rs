//! From the lines of an answer to our events; pure.
//!
//! It knows neither bytes nor sockets. Whether an answer that ended is whole decides
//! [`LineDecoder::end`].

#[cfg(test)]
mod tests;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use brain_core::{
    chat::{ToolCall, Usage},
    llm::{ChatEvent, Finish, FinishReason, LlmError, LlmErrorKind},
};
use llm_http::{Endpoint, Refusal, repair_surrogates};

use crate::{
    failure,
    prompt::Prompt,
    wire::{AnswerLine, AnswerToolCall, argument_text, filled, object, states_error},
};

/// Bytes of an answer that are taken for one token where the server does not count.
const BYTES_PER_TOKEN: u64 = 4;

/// Decodes the lines of one answer, a chat's or a completion's.
#[derive(Debug)]
pub(crate) struct LineDecoder {
    endpoint: Arc<Endpoint>,
    /// As asked for, until the server names it.
    model: String,
    call_prefix: String,
    prompt: Prompt,
    /// How many tools were called.
    calls: usize,
    /// The server's ids of calls so far.
    ids: HashSet<String>,
    /// Bytes of text and reasoning so far.
    written: u64,
    /// A line was one of an answer.
    begun: bool,
    /// The line that says so has come.
    done: bool,
}

impl LineDecoder {
    /// A decoder for an answer of `model` to `prompt`; `call_prefix` begins the ids of its tool calls
    /// and is unique.
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        model: &str,
        call_prefix: String,
        prompt: Prompt,
    ) -> Self {
        Self {
            endpoint,
            model: model.to_owned(),
            call_prefix,
            prompt,
            calls: 0,
            ids: HashSet::new(),
            written: 0,
            begun: false,
            done: false,
        }
    }

    /// Takes one line. What follows the last one is not heard.
    ///
    /// # Errors
    ///
    /// When the line states an error or is none of an answer, and when the prompt was cut.
    pub(crate) fn line(
        &mut self,
        json: &str,
        events: &mut VecDeque<ChatEvent>,
    ) -> Result<(), LlmError> {
        if self.done {
            return Ok(());
        }
        let json = repair_surrogates(json);
        let line: AnswerLine<'_> = object(&json).map_err(|error| {
            self.endpoint.misspoke("sent a line of an answer that is not JSON").with_source(error)
        })?;
        if states_error(line.error) {
            return Err(self.refused(&json));
        }
        self.begun |= line.message.is_some() || line.response.is_some() || line.done.is_some();
        if let Some(model) = filled(line.model.as_ref())
            && model != self.model
        {
            model.clone_into(&mut self.model);
        }
        self.say(&line, events);
        if line.done == Some(true) { self.finish(&line, events) } else { Ok(()) }
    }

    fn say(&mut self, line: &AnswerLine<'_>, events: &mut VecDeque<ChatEvent>) {
        let message = line.message.as_ref();
        let reasoning = message.and_then(|it| filled(it.thinking.as_ref()));
        if let Some(text) = reasoning.or(filled(line.thinking.as_ref())) {
            self.written += text.len() as u64;
            events.push_back(ChatEvent::Reasoning(text.to_owned()));
        }
        let content = message.and_then(|it| filled(it.content.as_ref()));
        if let Some(text) = content.or(filled(line.response.as_ref())) {
            self.written += text.len() as u64;
            events.push_back(ChatEvent::Text(text.to_owned()));
        }
        for call in message.iter().flat_map(|it| it.tool_calls.iter().flatten()) {
            events.extend(self.call(call).map(ChatEvent::ToolCall));
        }
    }

    /// A call with an id of ours, and the server's where it gave a new one; `None` without a name.
    fn call(&mut self, call: &AnswerToolCall<'_>) -> Option<ToolCall> {
        let function = call.function.as_ref()?;
        let Some(name) = filled(function.name.as_ref()) else {
            tracing::warn!("the model's tool call has no name; it is left out");
            return None;
        };
        let provider_id = filled(call.id.as_ref()).map(str::to_owned);
        let id = format!("{}{}", self.call_prefix, self.calls);
        self.calls += 1;
        let arguments = argument_text(function.arguments);
        self.written += arguments.len() as u64;
        let provider_id = provider_id.filter(|it| self.ids.insert(it.clone()));
        Some(ToolCall { id, name: name.to_owned(), arguments, provider_id })
    }

    /// The last line: what it cost and how it ended.
    fn finish(
        &mut self,
        line: &AnswerLine<'_>,
        events: &mut VecDeque<ChatEvent>,
    ) -> Result<(), LlmError> {
        self.done = true;
        events.push_back(ChatEvent::Usage(self.usage(line)));
        let count = line.prompt_eval_count.unwrap_or(0);
        if let Some(num_ctx) = self.prompt.cut_to(count) {
            tracing::warn!(model = self.model, count, num_ctx, "the server cut the prompt");
            return Err(failure::cut(&self.endpoint, &self.model, count, num_ctx));
        }
        let reason = match filled(line.done_reason.as_ref()) {
            Some("length") => FinishReason::Length,
            // There is no word for calls, and `load` and `unload` end answers to nothing.
            Some(_) | None if 0 < self.calls => FinishReason::ToolCalls,
            Some(_) | None => FinishReason::Stop,
        };
        let model = std::mem::take(&mut self.model);
        events.push_back(ChatEvent::Finished(Finish { reason, model }));
        Ok(())
    }

    /// What the server counted, and an estimate of what it did not: it leaves out zeros, and old ones
    /// leave out what they had in their cache.
    fn usage(&self, line: &AnswerLine<'_>) -> Usage {
        let input = line.prompt_eval_count.filter(|_| self.prompt.counts_cached());
        let input = input.filter(|it| 0 < *it);
        let output = line.eval_count.or((self.written == 0).then_some(0));
        Usage {
            input_tokens: input.unwrap_or_else(|| self.prompt.tokens()),
            output_tokens: output.unwrap_or_else(|| self.written.div_ceil(BYTES_PER_TOKEN)),
            cached_tokens: line.prompt_eval_cached_count.unwrap_or(0),
            estimated: input.is_none() || output.is_none(),
        }
    }

    /// Ends the answer.
    ///
    /// # Errors
    ///
    /// [`LlmErrorKind::Interrupted`] when the last line has not come; [`LlmErrorKind::Protocol`] when
    /// all that came was no line of an answer.
    pub(crate) fn end(&self, is_empty: bool) -> Result<(), LlmError> {
        if self.done {
            Ok(())
        } else if self.begun || is_empty {
            Err(self.endpoint.interrupted())
        } else {
            Err(self.endpoint.misspoke("sent nothing that is a line of an answer"))
        }
    }

    /// Whose answer it is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the last line has come.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The failure that a line states.
    fn refused(&self, json: &str) -> LlmError {
        let refusal = Refusal::in_stream(&self.endpoint, json.as_bytes());
        match refusal.kind() {
            LlmErrorKind::Unavailable if self.begun => {
                self.endpoint.refused_as(LlmErrorKind::Interrupted, refusal)
            }
            _ => failure::refused(&self.endpoint, refusal),
        }
    }
}
