//! The pieces of a branch that go into a window whole or not at all.
//!
//! It chooses nothing.

use crate::{
    chat::{Message, Role},
    ids::Seq,
    memory::{Entry, EntryStatus},
};

/// The branch from its end: one message, or a tool round, at a time. What failed or was forgotten,
/// answers that say nothing and rounds that are not whole are skipped.
pub(super) struct Units<'a> {
    rest: &'a [Entry],
}

impl<'a> Units<'a> {
    pub(super) fn new(rest: &'a [Entry]) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [Entry];

    fn next(&mut self) -> Option<&'a [Entry]> {
        loop {
            let (last, before) = self.rest.split_last()?;
            if is_left_out(last) || says_nothing(&last.body.message) {
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

/// Whether a model is never shown it.
pub(super) fn is_left_out(entry: &Entry) -> bool {
    match entry.body.status {
        EntryStatus::Failed | EntryStatus::Forgotten => true,
        EntryStatus::Complete | EntryStatus::Interrupted => false,
    }
}

/// Position of a unit's last entry.
pub(super) fn last_seq(unit: &[Entry]) -> Option<Seq> {
    unit.last().map(|entry| entry.seq)
}

/// The units of a branch, each list newest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'u, 'e> {
    /// What came last, unless that is the question.
    newest: &'u [&'e [Entry]],
    /// What came between the question and that.
    pub(super) rounds: &'u [&'e [Entry]],
    /// The newest message of the user's.
    question: &'u [&'e [Entry]],
    /// What was said before.
    pub(super) older: &'u [&'e [Entry]],
}

/// How many units of each part that may be left out are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) rounds: usize,
    pub(super) older: usize,
}

impl<'u, 'e> Parts<'u, 'e> {
    pub(super) fn of(units: &'u [&'e [Entry]]) -> Self {
        let user = units.iter().position(|unit| starts_with_user(unit)).unwrap_or(units.len());
        let (since, before) = units.split_at_checked(user).unwrap_or((units, &[]));
        let (newest, rounds) = since.split_at_checked(1).unwrap_or((&[], &[]));
        let (question, older) = before.split_at_checked(1).unwrap_or((&[], &[]));
        Self { newest, rounds, question, older }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.newest.is_empty() && self.question.is_empty()
    }

    /// What no window goes without.
    pub(super) fn mandatory(&self) -> impl Iterator<Item = &'e [Entry]> {
        self.newest.iter().chain(self.question).copied()
    }

    pub(super) fn is_all(&self, fill: Fill) -> bool {
        fill.rounds == self.rounds.len() && fill.older == self.older.len()
    }

    /// What does not fit.
    pub(super) fn left_out(&self, fill: Fill) -> impl Iterator<Item = &'e [Entry]> {
        let rounds = self.rounds.get(fill.rounds..).unwrap_or_default();
        rounds.iter().chain(self.older.get(fill.older..).unwrap_or_default()).copied()
    }

    /// What is sent. Unless something of the user's goes before it, it begins with a unit of the
    /// user's.
    pub(super) fn chosen(&self, fill: Fill, has_beginning: bool) -> Vec<&'e [Entry]> {
        let rounds = self.rounds.get(..fill.rounds).unwrap_or_default();
        let older = self.older.get(..fill.older).unwrap_or_default();
        let older = if has_beginning { older } else { until_user(older) };
        let all = [self.newest, rounds, self.question, older];
        all.into_iter().flatten().copied().collect()
    }

    /// How many units of what is sent came after the question, or are it.
    pub(super) fn until_question(&self, fill: Fill) -> usize {
        self.newest.len() + fill.rounds + self.question.len()
    }
}

/// The units from the newest on whose oldest is a user's, and the instructions right before it.
fn until_user<'u, 'e>(units: &'u [&'e [Entry]]) -> &'u [&'e [Entry]] {
    let user = units.iter().rposition(|unit| starts_with_user(unit)).map_or(0, |it| it + 1);
    let before = units.get(user..).unwrap_or_default();
    let instructions = before.iter().take_while(|unit| starts_with(unit, Role::System)).count();
    units.get(..user + instructions).unwrap_or_default()
}

fn starts_with_user(unit: &[Entry]) -> bool {
    starts_with(unit, Role::User)
}

fn starts_with(unit: &[Entry], role: Role) -> bool {
    unit.first().is_some_and(|entry| entry.body.message.role == role)
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
        && !round.iter().any(is_left_out)
        && calls.len() == results.len()
        && calls.iter().all(|it| named(&it.id) == 1 && answered(&it.id) == 1)
}
