//! The context window: which messages a model is shown.
//!
//! A pure function of the branch, the prompts and the model's limits, computed before each model
//! call. It changes nothing in memory. Tokens are estimated on the safe side; it never cuts a
//! message, and never shows a tool result without its call or the reverse.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    chat::{Message, Part, Role},
    memory::{Entry, EntryStatus},
    tool::ToolSpec,
};

/// Tokens that each message costs beyond its text.
const MESSAGE_TOKENS: u64 = 6;
/// Tokens that a picture is taken to cost.
const IMAGE_TOKENS: u64 = 1_100;

/// What the window is made of.
#[derive(Clone, Copy, Debug)]
pub struct WindowInput<'a> {
    /// The system prompt.
    pub system: Option<&'a str>,
    /// Entries of one branch, oldest first; the last one is what the model is to answer.
    pub branch: &'a [Entry],
    /// Whether the branch goes on before the first of `branch`.
    pub has_older: bool,
    /// The tools that the model is told of.
    pub tools: &'a [ToolSpec],
    /// Tokens that prompt and tools may have: the model's context less the reserved output.
    pub budget_tokens: u64,
}

/// The messages to send, and what was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The system prompt first, then the newest part of the branch.
    pub messages: Vec<Arc<Message>>,
    /// What is in the window.
    pub report: ContextReport,
}

/// What a model was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ContextReport {
    /// Entries of the branch that were sent.
    pub used_entries: usize,
    /// Entries that were read but not sent: too old for the budget, failed or empty.
    pub dropped_entries: usize,
    /// Whether the branch has entries older than those that were read.
    pub older_entries: bool,
    /// Tokens of prompt and tools, estimated.
    pub estimated_tokens: u64,
    /// Tokens that they might have had.
    pub budget_tokens: u64,
}

/// The newest message alone does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the message needs about {needed_tokens} tokens with its prompt, and the model has room for \
     {budget_tokens}; send less or choose a model with a larger context"
)]
pub struct WindowTooSmall {
    /// Tokens of system prompt, tools and the newest message.
    pub needed_tokens: u64,
    /// Tokens that there are.
    pub budget_tokens: u64,
}

/// Tokens of a text, rather too many than too few: a third of its bytes.
#[must_use]
pub fn estimate_text(text: &str) -> u64 {
    u64::try_from(text.len().div_ceil(3)).unwrap_or(u64::MAX)
}

/// Tokens of a message, rather too many than too few.
#[must_use]
pub fn estimate_message(message: &Message) -> u64 {
    let parts = message.content.iter().map(|part| match part {
        Part::Text { text } => estimate_text(text),
        Part::Image { .. } => IMAGE_TOKENS,
        Part::File { name, .. } => estimate_text(name.as_deref().unwrap_or_default()),
    });
    let calls = message.tool_calls.iter();
    let calls =
        calls.map(|it| MESSAGE_TOKENS + estimate_text(&it.name) + estimate_text(&it.arguments));
    MESSAGE_TOKENS + parts.sum::<u64>() + calls.sum::<u64>()
}

/// Chooses the messages to send.
///
/// The newest message of the user's is always among them, and so is what came last; in between and
/// before that, the oldest go first. Failed answers and messages that say nothing are left out;
/// neighbours of one role are merged, since some providers insist on alternation; the first message
/// after the system prompt is a user's, if there is any.
///
/// # Errors
///
/// When the newest messages do not fit.
pub fn build(input: WindowInput<'_>) -> Result<Window, WindowTooSmall> {
    let units: Vec<&[Entry]> = Units::new(input.branch).collect();
    let user = units.iter().position(|unit| starts_with_user(unit)).unwrap_or(units.len());
    let (since, before) = units.split_at_checked(user).unwrap_or((&units, &[]));
    let (question, older) = before.split_at_checked(1).unwrap_or((&[], &[]));

    let fixed = fixed_tokens(&input);
    let needed_tokens = fixed + cost(question) + since.first().map_or(0, |it| cost(&[it]));
    if units.is_empty() || input.budget_tokens < needed_tokens {
        return Err(WindowTooSmall { needed_tokens, budget_tokens: input.budget_tokens });
    }
    let mut room = input.budget_tokens - fixed - cost(question);
    let mut chosen = fitting(since, &mut room).to_vec();
    let is_gapless = chosen.len() == since.len();
    chosen.extend(question);
    if is_gapless {
        chosen.extend(until_user(fitting(older, &mut room)));
    }
    let used_entries = chosen.iter().map(|unit| unit.len()).sum();
    let report = ContextReport {
        used_entries,
        dropped_entries: input.branch.len() - used_entries,
        older_entries: input.has_older,
        estimated_tokens: fixed + cost(&chosen),
        budget_tokens: input.budget_tokens,
    };
    Ok(Window { messages: messages(input.system, &chosen), report })
}

/// The newest of `units` that fit into `room` together, which they take.
fn fitting<'a, 'e>(units: &'a [&'e [Entry]], room: &mut u64) -> &'a [&'e [Entry]] {
    let fits = |unit: &&&[Entry]| match room.checked_sub(cost(&[**unit])) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    };
    let count = units.iter().take_while(fits).count();
    units.get(..count).unwrap_or_default()
}

/// The units from the newest on whose oldest is a user's.
fn until_user<'a, 'e>(units: &'a [&'e [Entry]]) -> &'a [&'e [Entry]] {
    let count = units.iter().rposition(|unit| starts_with_user(unit)).map_or(0, |it| it + 1);
    units.get(..count).unwrap_or_default()
}

fn cost(units: &[&[Entry]]) -> u64 {
    units.iter().copied().flatten().map(|entry| estimate_message(&entry.body.message)).sum()
}

fn fixed_tokens(input: &WindowInput<'_>) -> u64 {
    let system = input.system.map_or(0, |text| MESSAGE_TOKENS + estimate_text(text));
    let tools = input.tools.iter().map(|tool| {
        let schema = tool.parameters.to_string();
        MESSAGE_TOKENS
            + estimate_text(&tool.name)
            + estimate_text(&tool.description)
            + estimate_text(&schema)
    });
    system + tools.sum::<u64>()
}

fn starts_with_user(unit: &[Entry]) -> bool {
    unit.first().is_some_and(|entry| entry.body.message.role == Role::User)
}

fn messages(system: Option<&str>, chosen: &[&[Entry]]) -> Vec<Arc<Message>> {
    let mut messages: Vec<Arc<Message>> = Vec::with_capacity(chosen.len() + 1);
    messages.extend(system.map(|text| Arc::new(Message::system(text))));
    for entry in chosen.iter().rev().flat_map(|unit| unit.iter()) {
        let message = &entry.body.message;
        match messages.last_mut() {
            Some(last) if can_merge(last, message) => {
                Arc::make_mut(last).content.extend(message.content.iter().cloned());
            }
            Some(_) | None => messages.push(Arc::clone(message)),
        }
    }
    messages
}

fn can_merge(last: &Message, next: &Message) -> bool {
    let mergeable = match next.role {
        Role::User => true,
        Role::Assistant => last.tool_calls.is_empty() && next.tool_calls.is_empty(),
        Role::System | Role::Tool => false,
    };
    mergeable && last.role == next.role
}

/// The branch from its end, in pieces that go into a window whole or not at all: one message, or a
/// tool round. Failed entries, answers that say nothing and incomplete rounds are skipped.
struct Units<'a> {
    rest: &'a [Entry],
}

impl<'a> Units<'a> {
    fn new(rest: &'a [Entry]) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [Entry];

    fn next(&mut self) -> Option<&'a [Entry]> {
        loop {
            let (last, before) = self.rest.split_last()?;
            if last.body.status == EntryStatus::Failed || says_nothing(&last.body.message) {
                self.rest = before;
                continue;
            }
            let results =
                self.rest.iter().rev().take_while(|it| it.body.message.role == Role::Tool);
            let start = self.rest.len() - results.count();
            if start == self.rest.len() && last.body.message.tool_calls.is_empty() {
                self.rest = before;
                return Some(std::slice::from_ref(last));
            }
            let start = if start == self.rest.len() { start - 1 } else { start.saturating_sub(1) };
            let (before, round) = self.rest.split_at_checked(start)?;
            let (first, results) = round.split_first()?;
            // Results without a call go alone; what stands before them is no part of a round.
            let is_round = !first.body.message.tool_calls.is_empty() || results.is_empty();
            self.rest = match is_round {
                true => before,
                false => self.rest.get(..=start)?,
            };
            if is_whole_round(round) {
                return Some(round);
            }
        }
    }
}

/// Whether it is an answer without content: it broke off before its text. Some providers refuse it.
fn says_nothing(message: &Message) -> bool {
    message.role == Role::Assistant && message.content.is_empty() && message.tool_calls.is_empty()
}

fn is_whole_round(round: &[Entry]) -> bool {
    let Some((first, results)) = round.split_first() else { return false };
    let calls = &first.body.message.tool_calls;
    let named = |id: &str| calls.iter().filter(|it| it.id == id).count();
    let answered = |id: &str| {
        results.iter().filter(|it| it.body.message.tool_call_id.as_deref() == Some(id)).count()
    };
    !calls.is_empty()
        && calls.len() == results.len()
        && calls.iter().all(|it| named(&it.id) == 1 && answered(&it.id) == 1)
}

#[cfg(test)]
mod tests;
