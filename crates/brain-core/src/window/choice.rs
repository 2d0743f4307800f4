//! What goes into one window, and the account of it.
//!
//! It decides; the messages are made elsewhere.

use std::sync::Arc;

use super::{
    ContextReport, Counting, WindowInput, WindowTooSmall, messages,
    recollection::{self, Block},
    units::{Fill, Parts, last_seq},
};
use crate::{
    chat::Message,
    ids::Seq,
    llm::Tokens,
    memory::{Entry, Summary},
};

/// What is left of a budget.
#[derive(Clone, Copy, Debug)]
struct Room(u64);

impl Room {
    fn take(&mut self, tokens: Tokens) -> bool {
        let left = self.0.checked_sub(tokens.count);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }

    /// How many of `units`, from the first on, fit together; they take their room.
    fn fitting(&mut self, units: &[&[Entry]], counting: &mut Counting) -> usize {
        units.iter().take_while(|unit| self.take(cost(unit, counting))).count()
    }

    /// The rounds since the question that fit, and, if all do, what was said before it.
    fn fill(&mut self, parts: &Parts<'_, '_>, counting: &mut Counting) -> Fill {
        let rounds = self.fitting(parts.rounds, counting);
        let is_gapless = rounds == parts.rounds.len();
        let older = if is_gapless { self.fitting(parts.older, counting) } else { 0 };
        Fill { rounds, older }
    }
}

fn cost(unit: &[Entry], counting: &mut Counting) -> Tokens {
    unit.iter().map(|entry| counting.entry(entry)).sum()
}

/// A summary of the branch, as it would be sent.
#[derive(Debug)]
struct Told {
    at: Seq,
    message: Message,
    tokens: Tokens,
}

impl Told {
    fn new(summary: &Summary, counting: &mut Counting) -> Self {
        let message = recollection::summary(summary);
        let tokens = counting.message(&message);
        Self { at: summary.at, message, tokens }
    }
}

/// What is sent.
#[derive(Debug)]
pub(super) struct Choice<'e> {
    /// Prompts and tools.
    fixed: Tokens,
    /// The summary of the branch, unless there is no room for it.
    summary: Option<Told>,
    /// Whether it is sent.
    is_summarised: bool,
    recalled: Option<Block>,
    /// What fitted.
    fill: Fill,
    /// Newest first.
    units: Vec<&'e [Entry]>,
    /// How many of them came after the question, or are it.
    until_question: usize,
}

impl<'e> Choice<'e> {
    pub(super) fn make(
        input: &WindowInput<'e>,
        parts: &Parts<'_, 'e>,
        counting: &mut Counting,
    ) -> Result<Self, WindowTooSmall> {
        let fixed = counting.fixed(input.system, input.tools);
        let mut room = mandatory(input, parts, fixed, counting)?;
        let mut whole = room;
        let all = whole.fill(parts, counting);
        let summary = input.usable_summary().map(|it| Told::new(it, counting));
        let is_cut = !parts.is_all(all) || input.has_older;
        let is_summarised = is_cut && summary.as_ref().is_some_and(|it| room.take(it.tokens));
        let shown = parts.chosen(all, is_summarised);
        // One that does not fit speaks for nothing.
        let summary = summary.filter(|_| is_summarised || !is_cut);
        let (fill, recalled) = match is_cut {
            false => (all, recall(input, &shown, whole, counting)),
            true => {
                let rounds = room.fitting(parts.rounds, counting);
                let is_gapless = rounds == parts.rounds.len();
                let recalled = is_gapless.then(|| recall(input, &shown, room, counting)).flatten();
                room.take(recalled.as_ref().map_or(Tokens::NONE, |it| it.tokens));
                let older = if is_gapless { room.fitting(parts.older, counting) } else { 0 };
                (Fill { rounds, older }, recalled)
            }
        };
        let units = parts.chosen(fill, is_summarised);
        let until_question = parts.until_question(fill);
        Ok(Self { fixed, summary, is_summarised, recalled, fill, units, until_question })
    }

    pub(super) fn report(
        &self,
        input: &WindowInput<'_>,
        parts: &Parts<'_, '_>,
        counting: &mut Counting,
    ) -> ContextReport {
        let sent = self.summary.as_ref().filter(|_| self.is_summarised);
        let extra = sent.map_or(Tokens::NONE, |it| it.tokens)
            + self.recalled.as_ref().map_or(Tokens::NONE, |it| it.tokens);
        let units: Tokens = self.units.iter().map(|unit| cost(unit, counting)).sum();
        let used = self.fixed + extra + units;
        let used_entries = self.units.iter().map(|unit| unit.len()).sum();
        ContextReport {
            used_entries,
            dropped_entries: input.branch.len() - used_entries,
            summarised_entries: sent.map_or(0, |it| self.summarised(input, it.at)),
            older_entries: input.has_older,
            summary: sent.map(|it| it.at),
            recalled: self.recalled.as_ref().map(|it| it.citations.clone()).unwrap_or_default(),
            recall: None,
            pictures_left_out: self.pictures_left_out(input),
            fallback: Vec::new(),
            used_tokens: used.count,
            budget_tokens: input.budget_tokens,
            until_summary_tokens: self.until_summary(input, parts, counting),
            counting: used.into(),
        }
    }

    /// Pictures that the model is told of in words.
    fn pictures_left_out(&self, input: &WindowInput<'_>) -> usize {
        if input.sees_pictures {
            return 0;
        }
        self.units.iter().copied().flatten().map(|it| messages::pictures(&it.body.message)).sum()
    }

    /// Entries that were not sent and are covered by a summary made at `at`.
    fn summarised(&self, input: &WindowInput<'_>, at: Seq) -> usize {
        let covered = input.branch.partition_point(|it| it.seq <= at);
        let shown = self.units.iter().copied().flatten().filter(|it| it.seq <= at).count();
        covered - shown
    }

    /// Tokens that may be said until a summary is due; 0 if something is in neither the window nor
    /// a summary already.
    fn until_summary(
        &self,
        input: &WindowInput<'_>,
        parts: &Parts<'_, '_>,
        counting: &mut Counting,
    ) -> u64 {
        let at = self.summary.as_ref().map(|it| it.at);
        let is_covered = |unit: &[Entry]| last_seq(unit) <= at;
        let is_missing = parts.left_out(self.fill).any(|unit| !is_covered(unit));
        if is_missing || (input.has_older && !self.is_summarised) {
            return 0;
        }
        let summary = self.summary.as_ref().map_or(Tokens::NONE, |it| it.tokens);
        let new = self.units.iter().filter(|unit| !is_covered(unit));
        let new: Tokens = new.map(|unit| cost(unit, counting)).sum();
        input.summary_at().saturating_sub((self.fixed + summary + new).count)
    }

    pub(super) fn fixed_tokens(&self) -> u64 {
        self.fixed.count
    }

    /// The messages, oldest first.
    pub(super) fn into_messages(self, input: &WindowInput<'_>) -> Vec<Arc<Message>> {
        let summary = self.summary.filter(|_| self.is_summarised).map(|it| it.message);
        let recalled = self.recalled.map(|it| it.message);
        let (new, old) = self.units.split_at_checked(self.until_question).unwrap_or_default();
        let mut messages = messages::join(input.system, (summary, old), (recalled, new));
        if !input.sees_pictures {
            messages.iter_mut().for_each(messages::put_pictures_into_words);
        }
        messages
    }
}

/// What is left once everything is in that no window goes without.
fn mandatory(
    input: &WindowInput<'_>,
    parts: &Parts<'_, '_>,
    fixed: Tokens,
    counting: &mut Counting,
) -> Result<Room, WindowTooSmall> {
    let newest = parts.mandatory().map(|unit| cost(unit, counting)).sum::<Tokens>();
    let (needed_tokens, budget_tokens) = ((fixed + newest).count, input.budget_tokens);
    match budget_tokens.checked_sub(needed_tokens) {
        Some(left) if !parts.is_empty() => Ok(Room(left)),
        Some(_) | None => {
            let (system_tokens, fixed_tokens) =
                (counting.fixed(input.system, &[]).count, fixed.count);
            Err(WindowTooSmall { system_tokens, fixed_tokens, needed_tokens, budget_tokens })
        }
    }
}

/// What was recalled and is not shown anyway.
fn recall(
    input: &WindowInput<'_>,
    shown: &[&[Entry]],
    room: Room,
    counting: &mut Counting,
) -> Option<Block> {
    let is_shown = |seq| shown.iter().copied().flatten().any(|it: &Entry| it.seq == seq);
    let new = input.recalled.iter().filter(|it| !(it.is_here && is_shown(it.entry.seq)));
    recollection::block(new, (room.0, input.budget_tokens), counting)
}
