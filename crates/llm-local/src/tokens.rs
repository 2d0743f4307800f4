//! Counting tokens as the loaded chat model does, its chat template included.
//!
//! It loads nothing: while no model is loaded, the estimate of the core answers.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use brain_core::llm::{Estimate, TokenCounter, Tokens};

use crate::{
    template::{ChatTemplate, Line},
    tokenizer::Tokenizer,
};

/// Longest text that is counted; no local model reads as much as that.
const MAX_TEXT: usize = 32 * 1024;
/// What the template is tried with; one token.
const PROBE: &str = "a";

/// Where the loaded model leaves its counter for whoever asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadedCounter(Arc<RwLock<Option<Arc<Counter>>>>);

impl LoadedCounter {
    /// The model's counter; the estimate while there is no model.
    pub(crate) fn get(&self) -> Arc<dyn TokenCounter> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Some(counter) => Arc::<Counter>::clone(counter),
            None => Estimate::counter(),
        }
    }

    /// Another model is loaded, or none.
    pub(crate) fn set(&self, counter: Option<Counter>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = counter.map(Arc::new);
    }
}

/// Counts as one model does.
pub(crate) struct Counter {
    tokenizer: Arc<Tokenizer>,
    message: u64,
    /// With a system prompt, and without.
    frames: (u64, u64),
}

impl Counter {
    /// Finds out what the template adds; `None` if it takes no such conversation.
    pub(crate) fn new(tokenizer: Arc<Tokenizer>, template: &ChatTemplate) -> Option<Self> {
        let line = |role| Line { role, content: PROBE.to_owned() };
        let count = |roles: &[&'static str]| -> Option<u64> {
            let lines: Vec<Line> = roles.iter().map(|role| line(*role)).collect();
            let tokens = tokenizer.encode(&template.render(&lines).ok()?).ok()?;
            Some(tokens.len() as u64)
        };
        let probe = tokenizer.encode(PROBE).ok()?.len() as u64;
        let two = count(&["system", "user"])?;
        let each = count(&["system", "user", "assistant"])?.checked_sub(two)?;
        let with_system = two.checked_sub(2 * each)?;
        let without = count(&["user"])?.checked_sub(each)?;
        let message = each.checked_sub(probe)?;
        Some(Self { tokenizer, message, frames: (with_system, without) })
    }
}

impl TokenCounter for Counter {
    fn is_exact(&self) -> bool {
        true
    }

    fn text(&self, text: &str) -> Tokens {
        if text.len() > MAX_TEXT {
            return Estimate.text(text);
        }
        match self.tokenizer.encode(&self.tokenizer.harmless(text.to_owned())) {
            Ok(tokens) => Tokens::exact(tokens.len() as u64),
            Err(_) => Estimate.text(text),
        }
    }

    fn message(&self) -> u64 {
        self.message
    }

    fn frame(&self, has_system: bool) -> u64 {
        if has_system { self.frames.0 } else { self.frames.1 }
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter")
            .field("message", &self.message)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}
