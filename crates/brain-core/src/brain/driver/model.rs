//! Asking the model: the window, the stream, and a checkpoint beside it every now and then.

use std::{mem, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse, FusedFuture},
    select_biased,
};

use super::{
    DENIAL, Driver,
    candidates::Next,
    ending::{Stop, estimated_usage},
};
use crate::{
    brain::{ToolOutcome, TurnEventKind},
    chat::ToolCall,
    llm::{ChatEvent, ChatRequest, Progress, Reply},
    memory::{CallState, MemoryError, MemoryErrorKind},
    window::{self, ContextReport, WindowInput},
};

impl Driver {
    /// Asks the model, and those that may stand in for it while nothing has come of an answer.
    pub(super) async fn ask_model(&mut self) -> Result<(), Stop> {
        loop {
            match self.ask_once().await {
                Ok(reply) => {
                    self.on_reply(reply);
                    return Ok(());
                }
                Err(stop) if !self.partial.is_empty() => return Err(stop),
                Err(stop) => self.on_failure(stop)?,
            }
        }
    }

    /// Asks once, tells listeners what comes, and returns the whole reply.
    async fn ask_once(&mut self) -> Result<Reply, Stop> {
        (self.model, self.finish_reason) = (None, None);
        let request = self.chat_request()?;
        let inner = Arc::clone(&self.inner);
        let mut stream = inner.ports.llm.stream(request).await?.fuse();
        self.taken_tokens = Some(self.window_tokens());
        let (mut saving, mut due) = (Fuse::terminated(), Fuse::terminated());
        loop {
            select_biased! {
                saved = saving => note_saved(saved)?,
                () = due => {}
                event = stream.next() => match event {
                    Some(event) => self.on_event(event?)?,
                    None => break,
                },
            }
            match self.until_checkpoint() {
                Some(left) if left.is_zero() && saving.is_terminated() => {
                    saving = self.save().fuse();
                }
                // A model that falls silent must not keep what it said from being stored.
                Some(left) if !left.is_zero() && due.is_terminated() => {
                    due = inner.ports.clock.sleep(left).fuse();
                }
                Some(_) | None => {}
            }
        }
        if !self.partial.is_finished() {
            return Err(Stop::broke_off());
        }
        Ok(mem::take(&mut self.partial).finish()?)
    }

    /// Nothing came of a call: turns to whom to ask next, unless that is nobody.
    fn on_failure(&mut self, stop: Stop) -> Result<(), Stop> {
        self.taken_tokens = None;
        if let Some(usage) = mem::take(&mut self.partial).usage() {
            self.turn.on_usage(usage);
        }
        let (code, told) = (stop.code(), stop.to_string());
        let source = std::error::Error::source(&stop).map(|it| format!("{it:?}"));
        match self.candidates.on_failure(stop, self.window_tokens()) {
            Next::Stop(stop) => Err(stop),
            Next::Ask(stage) => {
                tracing::warn!(code, source, "{told}: {stage}");
                self.counting = self.inner.counting(self.candidates.current());
                self.live.log.push(TurnEventKind::Progress(Progress { stage, done: 0, total: 0 }));
                Ok(())
            }
        }
    }

    /// Tokens of the last window.
    fn window_tokens(&self) -> u64 {
        self.context.as_ref().map_or(0, |it| it.used_tokens)
    }

    fn chat_request(&mut self) -> Result<ChatRequest, Stop> {
        let (limits, options) = (&self.inner.config.limits, &self.request.options);
        let model = self.model_name().to_owned();
        let capabilities = self.inner.ports.llm.capabilities(&model);
        let context = u64::from(capabilities.context_tokens.unwrap_or(limits.context_tokens));
        let output = u64::from(options.max_tokens.unwrap_or(limits.output_tokens));
        let tools = if capabilities.tools { self.tools.specs() } else { Vec::new() };
        let input = WindowInput {
            system: self.system.as_deref(),
            summary: self.summary.as_ref(),
            recalled: &self.recalled,
            branch: &self.branch,
            has_older: self.has_older,
            tools: &tools,
            sees_pictures: capabilities.vision,
            budget_tokens: self.candidates.budget(context.saturating_sub(output.min(context / 2))),
        };
        let window = window::build(&input, &mut self.counting)?;
        let recall = self.recall_state;
        self.context = Some(ContextReport { recall, ..window.report });
        self.fixed_tokens = window.fixed_tokens;
        let options = self.request.options.clone();
        Ok(ChatRequest { model, messages: window.messages, tools, options })
    }

    /// Tells listeners what came, and keeps it.
    fn on_event(&mut self, event: ChatEvent) -> Result<(), Stop> {
        let event = match event {
            ChatEvent::ToolCall(call) => ChatEvent::ToolCall(self.name_call(call)),
            other @ (ChatEvent::Progress(_)
            | ChatEvent::Text(_)
            | ChatEvent::Reasoning(_)
            | ChatEvent::ToolCallDelta(_)
            | ChatEvent::Usage(_)
            | ChatEvent::Finished(_)) => other,
        };
        let told = match &event {
            ChatEvent::Progress(progress) => Some(TurnEventKind::Progress(progress.clone())),
            ChatEvent::Text(text) => Some(TurnEventKind::TextDelta(text.clone())),
            ChatEvent::Reasoning(text) => Some(TurnEventKind::ReasoningDelta(text.clone())),
            ChatEvent::ToolCall(call) => Some(TurnEventKind::ToolCall(call.clone())),
            ChatEvent::Finished(finish) => {
                self.model = Some(finish.model.clone());
                self.finish_reason = Some(finish.reason);
                None
            }
            ChatEvent::ToolCallDelta(_) | ChatEvent::Usage(_) => None,
        };
        self.partial.push(event);
        told.into_iter().for_each(|kind| self.live.log.push(kind));
        let bytes = self.partial.text().len() + self.partial.reasoning().len();
        if self.inner.config.limits.answer_bytes < bytes {
            return Err(Stop::TooLong);
        }
        Ok(())
    }

    /// Gives a call an id of ours, unique in the session, and keeps the provider's.
    fn name_call(&mut self, call: ToolCall) -> ToolCall {
        self.calls += 1;
        let id = format!("{}-{}", self.record.id, self.calls);
        let provider_id = call.provider_id.or(Some(call.id)).filter(|it| !it.is_empty());
        ToolCall { id, provider_id, ..call }
    }

    fn on_reply(&mut self, mut reply: Reply) {
        self.candidates.on_answer();
        let input = self.taken_tokens.take().unwrap_or_default();
        let message = &reply.message;
        let calls = message.tool_calls.iter().flat_map(|it| [&*it.name, &*it.arguments]);
        let said = message.texts().chain(message.reasoning.as_deref()).chain(calls);
        reply.usage = reply.usage.or_else(|| Some(estimated_usage(input, said)));
        let (tools, limits) = (&self.tools, &self.inner.config.limits);
        let allowed = |name: &str| {
            tools.get(name).is_none_or(|it| limits.allowed_tools.contains(&it.class()))
        };
        self.turn.on_reply(reply, allowed, DENIAL);
        self.show_calls();
        for call in self.turn.calls().iter().filter(|it| it.state == CallState::Denied) {
            let (call_id, name) = (call.call.id.clone(), call.call.name.clone());
            let result = DENIAL.to_owned();
            self.tell_result(ToolOutcome { call_id, name, result, allowed: false });
        }
    }

    /// How long what is new may still wait to be stored; `None` if nothing is new.
    fn until_checkpoint(&self) -> Option<Duration> {
        let bytes = self.partial.text().len() + self.partial.reasoning().len();
        let new = bytes.checked_sub(self.checkpointed.bytes).filter(|new| *new != 0)?;
        let limits = &self.inner.config.limits;
        let since = self.inner.ports.clock.elapsed().saturating_sub(self.checkpointed.at);
        let left = limits.checkpoint_every.saturating_sub(since);
        // A checkpoint writes all there is: of a long answer that comes fast, a share must be new.
        let enough = limits.checkpoint_bytes.max(bytes / 8);
        Some(if enough <= new { Duration::ZERO } else { left })
    }

    /// A checkpoint that is stored while the stream goes on.
    fn save(&mut self) -> BoxFuture<'static, Result<(), MemoryError>> {
        let (checkpoint, fence) = (self.take_checkpoint(), self.fence());
        let store = Arc::clone(&self.inner.ports.store);
        Box::pin(async move { store.checkpoint(fence, checkpoint).await })
    }
}

/// A checkpoint that could not be stored is no reason to stop answering; having lost the turn is.
fn note_saved(saved: Result<(), MemoryError>) -> Result<(), Stop> {
    match saved {
        Err(error) if error.kind() == MemoryErrorKind::Superseded => Err(Stop::Superseded),
        Err(error) => {
            tracing::warn!(%error, "could not store what there is of an answer yet");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
