//! Asking the model: the window, the stream, and a checkpoint beside it every now and then.

use std::{mem, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse, FusedFuture},
    select_biased,
};

use super::{DENIAL, Driver, ending::Stop};
use crate::{
    brain::{ToolOutcome, TurnEventKind},
    chat::ToolCall,
    llm::{ChatEvent, ChatRequest, PartialReply, Reply},
    memory::{CallState, MemoryError, MemoryErrorKind},
    window::{self, ContextReport, WindowInput},
};

impl Driver {
    /// Asks once, tells listeners what comes, and hands the whole reply to the turn.
    pub(super) async fn ask_model(&mut self) -> Result<(), Stop> {
        let request = self.chat_request()?;
        self.partial = PartialReply::default();
        let inner = Arc::clone(&self.inner);
        let mut stream = inner.ports.llm.stream(request).await?.fuse();
        self.taken += 1;
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
        let reply = mem::take(&mut self.partial).finish()?;
        self.on_reply(reply);
        Ok(())
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
            budget_tokens: context.saturating_sub(output.min(context / 2)),
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

    fn on_reply(&mut self, reply: Reply) {
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
