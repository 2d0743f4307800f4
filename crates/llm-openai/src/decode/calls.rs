//! Tool calls from their fragments; pure.
//!
//! It judges no arguments: they are the model's text.

use std::collections::HashSet;

use brain_core::{chat::ToolCall, llm::ToolCallDelta};
use serde::de::IgnoredAny;

use crate::wire::{CallFragment, argument_text, filled};

/// The calls of one answer, in the order in which they began.
#[derive(Debug)]
pub(super) struct Calls {
    prefix: String,
    open: Vec<OpenCall>,
}

#[derive(Debug, Default)]
struct OpenCall {
    index: Option<u64>,
    provider_id: String,
    name: String,
    arguments: String,
}

impl Calls {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, open: Vec::new() }
    }

    /// Takes a fragment; `None` when it adds nothing.
    pub(super) fn push(&mut self, fragment: &CallFragment<'_>) -> Option<ToolCallDelta> {
        let function = fragment.function.as_ref();
        let name = function.and_then(|it| filled(it.name.as_ref()));
        let arguments = function.and_then(|it| it.arguments).map(argument_text).unwrap_or_default();
        let id = filled(fragment.id.as_ref());
        let position = match self.find(fragment.index, id) {
            Some(at) if !self.begins_another(at, id, name, &arguments) => at,
            Some(_) | None => {
                self.open.push(OpenCall { index: fragment.index, ..OpenCall::default() });
                self.open.len() - 1
            }
        };
        let call = self.open.get_mut(position)?;
        let is_new_name = call.name.is_empty() && name.is_some();
        if is_new_name {
            call.name.push_str(name.unwrap_or_default());
        }
        if call.provider_id.is_empty() {
            call.provider_id.push_str(id.unwrap_or_default());
        }
        call.arguments.push_str(&arguments);
        if !is_new_name && arguments.is_empty() {
            return None;
        }
        let name = name.filter(|_| is_new_name).map(str::to_owned);
        Some(ToolCallDelta { index: position, name, arguments: arguments.into_owned() })
    }

    /// The call that a fragment with this index and id continues: by the index where there is one,
    /// else by the id, else the last.
    fn find(&self, index: Option<u64>, id: Option<&str>) -> Option<usize> {
        match (index, id) {
            (Some(_), _) => self.open.iter().rposition(|call| call.index == index),
            (None, Some(id)) => self.open.iter().rposition(|call| call.provider_id == id),
            (None, None) => self.open.len().checked_sub(1),
        }
    }

    /// Whether a fragment that seems to continue the call begins another one: its id differs, or
    /// it names a tool and has arguments although the call's own are complete. Some servers send
    /// index 0 for every call, with or without ids.
    fn begins_another(
        &self,
        at: usize,
        id: Option<&str>,
        name: Option<&str>,
        arguments: &str,
    ) -> bool {
        let Some(call) = self.open.get(at) else { return false };
        let other_id = id.is_some_and(|id| !call.provider_id.is_empty() && call.provider_id != id);
        other_id || (name.is_some() && !arguments.is_empty() && is_json(&call.arguments))
    }

    /// The whole calls. Of an answer that was `cut`, those whose arguments are complete.
    pub(super) fn take(&mut self, cut: bool) -> Vec<ToolCall> {
        let mut seen = HashSet::new();
        let mut calls = Vec::new();
        for (position, open) in std::mem::take(&mut self.open).into_iter().enumerate() {
            if open.name.is_empty() || (cut && !is_json(&open.arguments)) {
                tracing::warn!(
                    tool = open.name,
                    cut,
                    "the model's tool call is incomplete; it is left out"
                );
                continue;
            }
            let unique = !open.provider_id.is_empty() && seen.insert(open.provider_id.clone());
            calls.push(ToolCall {
                id: format!("{}{position}", self.prefix),
                name: open.name,
                arguments: if open.arguments.is_empty() { "{}".to_owned() } else { open.arguments },
                provider_id: unique.then_some(open.provider_id),
            });
        }
        calls
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}
