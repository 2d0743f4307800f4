//! Counting what goes into windows, each piece once.
//!
//! It decides nothing. Counting as a model does reads a few megabytes a second, so that its results
//! are kept, and one window counts a bounded amount of new text so; the rest is estimated until a
//! later window comes to it.

use std::{
    collections::HashMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::messages::PICTURE;
use crate::{
    chat::{Message, Part, Role},
    ids::Seq,
    llm::{Estimate, TokenCounter, Tokens},
    memory::Entry,
    tool::ToolSpec,
};

/// Tokens that a picture is taken to cost.
const IMAGE: u64 = 1_100;
/// Tokens that a file costs beyond its name: the model is told that it cannot see it.
const FILE: u64 = 16;
/// Tokens of the ids and the form of a tool call, or of its result.
const CALL: u64 = 12;
/// Tokens of the form of a tool that the model is told of.
const TOOL: u64 = 12;
/// Most bytes that one window counts as the model does; a few tens of milliseconds.
const MOST_NEW_BYTES: usize = 128 * 1024;
/// Most results that are kept.
const MOST_KNOWN: usize = 64 * 1024;

/// Whether the tokens of a report were counted or estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accuracy {
    /// By the model's own tokenizer.
    Exact,
    /// Rather too many than too few.
    Estimated,
}

impl From<Tokens> for Accuracy {
    fn from(tokens: Tokens) -> Self {
        if tokens.exact { Self::Exact } else { Self::Estimated }
    }
}

/// What has been counted, for whoever counts next; bounded, and clones share it.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<HashMap<u64, u64>>>);

impl Known {
    fn get(&self, key: u64) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    fn keep(&self, key: u64, count: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is in use comes back within a turn; nothing cleverer is worth its bookkeeping.
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(key, count);
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

/// Counts for the windows of one turn and one model. Entries are known by their positions, so it
/// serves one session only.
#[derive(Debug)]
pub struct Counting {
    counter: Arc<dyn TokenCounter>,
    model: u64,
    known: Known,
    entries: HashMap<Seq, Tokens>,
    /// Whether the model reads pictures.
    sees_pictures: bool,
    new_bytes: usize,
}

impl Counting {
    /// Counts by `counter`, which is `model`'s, and shares what it learns with `known`.
    #[must_use]
    pub fn new(counter: Arc<dyn TokenCounter>, model: &str, known: Known) -> Self {
        let model = hash(model);
        let (entries, sees_pictures) = (HashMap::new(), true);
        Self { counter, model, known, entries, sees_pictures, new_bytes: 0 }
    }

    /// Counts by the estimate.
    #[must_use]
    pub fn estimate() -> Self {
        Self::new(Estimate::counter(), "", Known::default())
    }

    /// A new window begins, of a branch of so many entries, with pictures or with words for them.
    pub(super) fn begin(&mut self, entries: usize, sees_pictures: bool) {
        self.new_bytes = 0;
        if self.sees_pictures != sees_pictures {
            self.sees_pictures = sees_pictures;
            self.entries.clear();
        }
        self.entries.reserve(entries.saturating_sub(self.entries.len()));
    }

    /// Tokens of a text.
    #[must_use]
    pub fn text(&mut self, text: &str) -> Tokens {
        if !self.counter.is_exact() {
            return self.counter.text(text);
        }
        let key = hash((self.model, text));
        if let Some(count) = self.known.get(key) {
            return Tokens::exact(count);
        }
        if MOST_NEW_BYTES < self.new_bytes + text.len() {
            return Estimate.text(text);
        }
        let counted = self.counter.text(text);
        if counted.exact {
            self.new_bytes += text.len();
            self.known.keep(key, counted.count);
        }
        counted
    }

    /// Tokens of an entry's message.
    pub(super) fn entry(&mut self, entry: &Entry) -> Tokens {
        if let Some(known) = self.entries.get(&entry.seq) {
            return *known;
        }
        let counted = self.message(&entry.body.message);
        if counted.exact || !self.counter.is_exact() {
            self.entries.insert(entry.seq, counted);
        }
        counted
    }

    /// Tokens of a message with its tool calls.
    #[must_use]
    pub fn message(&mut self, message: &Message) -> Tokens {
        let mut sum = Tokens::exact(self.counter.message());
        for part in &message.content {
            sum = sum + self.part(part);
        }
        for call in &message.tool_calls {
            sum = sum + Tokens::exact(CALL) + self.text(&call.name) + self.text(&call.arguments);
        }
        match message.role {
            Role::Tool => sum + Tokens::exact(CALL),
            Role::System | Role::User | Role::Assistant => sum,
        }
    }

    fn part(&mut self, part: &Part) -> Tokens {
        match part {
            Part::Text { text } => self.text(text),
            Part::Image { .. } if self.sees_pictures => Tokens::estimated(IMAGE),
            Part::Image { .. } => self.text(PICTURE),
            Part::File { name, .. } => {
                Tokens::estimated(FILE) + self.text(name.as_deref().unwrap_or_default())
            }
        }
    }

    /// Tokens of what every window of these prompts has: the system prompt, the tools, the form.
    pub(super) fn fixed(&mut self, system: Option<&str>, tools: &[ToolSpec]) -> Tokens {
        let mut sum = Tokens::exact(self.counter.frame(system.is_some()));
        if let Some(system) = system {
            sum = sum + Tokens::exact(self.counter.message()) + self.text(system);
        }
        tools.iter().fold(sum, |sum, tool| sum + self.tool(tool))
    }

    fn tool(&mut self, tool: &ToolSpec) -> Tokens {
        let key = hash((self.model, &tool.name, &tool.description, &tool.parameters));
        if let Some(count) = self.known.get(key) {
            return Tokens { count, exact: self.counter.is_exact() };
        }
        let schema = tool.parameters.to_string();
        let sum = Tokens::exact(TOOL)
            + self.text(&tool.name)
            + self.text(&tool.description)
            + self.text(&schema);
        if sum.exact == self.counter.is_exact() {
            self.known.keep(key, sum.count);
        }
        sum
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
