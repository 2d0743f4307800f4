//! The context window: which messages a model is shown.
//!
//! A pure function of the branch, its summary, what was recalled, the prompts and the model's
//! limits, computed before each model call. It changes nothing in memory. It never cuts a message,
//! and never shows a tool result without its call or the reverse.
//!
//! What there is room for is given in this order: the prompts, the tools, the newest message of the
//! user's and what came last; if the rest does not fit whole, the summary; the tool rounds since
//! that message; what was recalled; and then what was said before, from the newest on. What the
//! summary covers is shown too as far as it fits.

mod choice;
mod counting;
mod leaving;
mod messages;
mod recollection;
mod units;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::{
    choice::Choice,
    units::{Parts, Units},
};
pub use self::{
    counting::{Accuracy, Counting, Known},
    leaving::{Bounds, Leaving, leaving},
    recollection::{Citation, Recollection},
};
use crate::{
    chat::Message,
    ids::Seq,
    memory::{Entry, Summary},
    tool::ToolSpec,
};

/// What the window is made of.
#[derive(Clone, Copy, Debug)]
pub struct WindowInput<'a> {
    /// The system prompt.
    pub system: Option<&'a str>,
    /// A summary of the branch; one that was made elsewhere is not used.
    pub summary: Option<&'a Summary>,
    /// What was recalled, the best first.
    pub recalled: &'a [Recollection],
    /// Entries of one branch, oldest first; the last one is what the model is to answer.
    pub branch: &'a [Entry],
    /// Whether the branch goes on before the first of `branch`.
    pub has_older: bool,
    /// The tools that the model is told of.
    pub tools: &'a [ToolSpec],
    /// Whether the model reads pictures; one that does not is told in words where one was.
    pub sees_pictures: bool,
    /// Tokens that prompt and tools may have: the model's context less the reserved output.
    pub budget_tokens: u64,
}

impl<'a> WindowInput<'a> {
    /// The summary, if it was made at an entry of the branch or at the one before.
    fn usable_summary(&self) -> Option<&'a Summary> {
        let summary = self.summary.filter(|it| !it.text.trim().is_empty())?;
        let before = self.branch.first().and_then(|it| it.parent);
        let is_here = before == Some(summary.at) || self.position(summary.at).is_some();
        is_here.then_some(summary)
    }

    /// Tokens that may be taken before a summary is due.
    fn summary_at(&self) -> u64 {
        self.budget_tokens / 10 * 9
    }

    fn position(&self, seq: Seq) -> Option<usize> {
        self.branch.binary_search_by_key(&seq, |it| it.seq).ok()
    }
}

/// The messages to send, and what was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The system prompt first, then the newest part of the branch.
    pub messages: Vec<Arc<Message>>,
    /// What is in the window.
    pub report: ContextReport,
    /// Tokens of system prompt and tools.
    pub fixed_tokens: u64,
}

/// What a model was shown. It names entries and repeats none, so that it takes a few KiB at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextReport {
    /// Entries of the branch that were sent.
    pub used_entries: usize,
    /// Entries that were read but not sent: too old for the budget, failed, forgotten or empty.
    pub dropped_entries: usize,
    /// Of those, the ones that the summary stands for.
    pub summarised_entries: usize,
    /// Whether the branch has entries older than those that were read.
    pub older_entries: bool,
    /// The entry that the summary was made at; it stands for that one and all before it. Absent
    /// where no summary was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Seq>,
    /// What was recalled and sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recalled: Vec<Citation>,
    /// How memory was searched; absent where nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<RecallState>,
    /// Pictures of the entries that were sent, in whose place the model was told in words that there
    /// was one, since it reads none. Absent where that is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pictures_left_out: usize,
    /// The models that were asked before and did not answer, in that order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<PassedOver>,
    /// Tokens of prompt and tools.
    pub used_tokens: u64,
    /// Tokens that they might have had.
    pub budget_tokens: u64,
    /// Tokens that may still be said before the next summary is due; 0 if it is.
    pub until_summary_tokens: u64,
    /// How the tokens were counted.
    pub counting: Accuracy,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A model that did not answer, so that another one was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Its name, as it was asked for; empty for the gateway's default.
    pub model: String,
    /// The stable code of its failure.
    pub code: String,
}

/// How memory was searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecallState {
    /// By words and by meaning.
    WordsAndMeaning,
    /// By words alone: nothing makes embeddings here, or not in time.
    WordsOnly,
    /// Not at all: memory did not answer in time.
    Failed,
}

/// The newest message does not fit, or what goes before every message leaves no room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} about {tokens} tokens, and the model has room for {budget_tokens}; {advice} or choose a \
     model with a larger context",
    what = self.what().0, tokens = self.what().1, advice = self.what().2
)]
pub struct WindowTooSmall {
    /// Tokens of the system prompt.
    pub system_tokens: u64,
    /// Tokens of system prompt and tools.
    pub fixed_tokens: u64,
    /// Tokens of system prompt, tools and the newest message.
    pub needed_tokens: u64,
    /// Tokens that there are.
    pub budget_tokens: u64,
}

impl WindowTooSmall {
    /// What is too large, how many tokens it needs, and what helps.
    fn what(&self) -> (&'static str, u64, &'static str) {
        let Self { system_tokens, fixed_tokens, needed_tokens, budget_tokens } = *self;
        if budget_tokens <= system_tokens {
            ("the system prompt needs", system_tokens, "shorten it")
        } else if budget_tokens <= fixed_tokens {
            ("the system prompt and the tools need", fixed_tokens, "name fewer tools")
        } else {
            ("the message with what goes before it needs", needed_tokens, "send less")
        }
    }
}

/// Chooses the messages to send.
///
/// Failed and forgotten entries and messages that say nothing are left out; neighbours of one role
/// are merged, since some providers insist on alternation; the first message after the system
/// prompt is a user's, if there is any.
///
/// # Errors
///
/// When the newest messages do not fit.
pub fn build(input: &WindowInput<'_>, counting: &mut Counting) -> Result<Window, WindowTooSmall> {
    counting.begin(input.branch.len(), input.sees_pictures);
    let units: Vec<&[Entry]> = Units::new(input.branch).collect();
    let parts = Parts::of(&units);
    let choice = Choice::make(input, &parts, counting)?;
    let report = choice.report(input, &parts, counting);
    let fixed_tokens = choice.fixed_tokens();
    let messages = choice.into_messages(input);
    Ok(Window { messages, report, fixed_tokens })
}

#[cfg(test)]
mod tests;
