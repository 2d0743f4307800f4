//! What the next summary takes in: the part of a branch that is about to leave the window.
//!
//! It writes no summary.

use super::{Counting, WindowInput, units::is_left_out};
use crate::{
    chat::Role,
    memory::{Entry, Summary},
};

/// Bounds within which no summary is needed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Tokens of system prompt and tools.
    pub fixed_tokens: u64,
    /// Entries that are read for a window.
    pub entries: usize,
}

/// What a summary is to be made of.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// The summary that goes on; it covers everything before `entries`.
    pub base: Option<&'a Summary>,
    /// The entries that leave, oldest first; the last one ends a turn.
    pub entries: &'a [Entry],
}

/// What leaves the window of a branch whose last turn is over, so that half of the room is free
/// again; `None` while nine tenths of it are not taken, and a turn like the last one fits too. What the last turn said never leaves. A
/// branch that goes on before what was read leaves nothing either, unless a summary stands for that.
///
/// `input` has no system prompt and no tools; `bounds` say what they take.
#[must_use]
pub fn leaving<'a>(
    input: &WindowInput<'a>,
    bounds: Bounds,
    counting: &mut Counting,
) -> Option<Leaving<'a>> {
    counting.begin(input.branch.len(), input.sees_pictures);
    let base = input.usable_summary();
    if input.has_older && base.is_none() {
        return None;
    }
    let begin = base.and_then(|it| input.position(it.at)).map_or(0, |it| it + 1);
    let new = input.branch.get(begin..)?;
    let said = new.iter().map(|entry| match is_left_out(entry) {
        true => 0,
        false => counting.entry(entry).count,
    });
    let said: Vec<u64> = said.collect();
    let base_tokens = base.map_or(0, |it| counting.text(&it.text).count);
    let total = bounds.fixed_tokens + base_tokens + said.iter().sum::<u64>();
    // A turn like the last one may come next.
    let next = said.get(last_turn(new)..).unwrap_or_default().iter().sum::<u64>();
    let is_due = input.summary_at() < total
        || input.budget_tokens < total + next
        || bounds.entries / 10 * 9 < new.len();
    let end =
        is_due.then(|| end(new, &said, total, (input.budget_tokens / 2, bounds.entries / 2)))?;
    Some(Leaving { base, entries: new.get(..end?)? })
}

/// Where the last turn begins.
fn last_turn(new: &[Entry]) -> usize {
    new.iter().rposition(|it| it.body.message.role == Role::User).unwrap_or(0)
}

/// Where the first turn begins that may stay, if `total` less what is before it shall be within
/// the bounds; else where the last one does.
fn end(
    new: &[Entry],
    said: &[u64],
    total: u64,
    (most_tokens, most_entries): (u64, usize),
) -> Option<usize> {
    let mut left = total;
    let mut last = None;
    for (position, (entry, said)) in new.iter().zip(said).enumerate() {
        if position > 0 && entry.body.message.role == Role::User {
            last = Some(position);
            if left <= most_tokens && new.len() - position <= most_entries {
                break;
            }
        }
        left = left.saturating_sub(*said);
    }
    last
}
