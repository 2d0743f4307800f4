//! How a turn ends that nobody drives any more: with what its checkpoint kept.
//!
//! It decides what to write. Who finds such turns, and writes, is elsewhere.

use super::{
    Append, Authority, CloseTurn, Draft, EntryBody, EntryError, EntryStatus, Expect, MemoryError,
    TurnRecord, TurnState, tool_round::round,
};
use crate::{
    brain::RESTARTED,
    chat::{Message, Part, Role, ToolCall},
    ids::AppendId,
    time::Timestamp,
};

/// More events than a holder can have told between a checkpoint and its end: the last event of a
/// turn that it did not end itself is numbered above all that anybody may have seen.
const UNSEEN_EVENTS: u64 = 1 << 32;

/// The step number of a turn's closing append; higher than any round's.
pub(crate) const CLOSING_STEP: u32 = u32::MAX;

impl TurnRecord {
    /// By what right whoever finds the open turn without a live lease ends it.
    #[must_use]
    pub fn authority_of_finder(&self) -> Authority {
        match self.state {
            TurnState::Waiting => Authority::Exclusive,
            TurnState::Running
            | TurnState::Completed
            | TurnState::Interrupted
            | TurnState::Failed => Authority::Lapsed,
        }
    }
}

impl CloseTurn {
    /// The end of a turn whose holder is gone, at `now`: interrupted with what was kept of the
    /// answer, or failed when nothing was.
    ///
    /// # Errors
    ///
    /// When what was kept does not encode.
    pub fn abandoned(
        record: &TurnRecord,
        authority: Authority,
        now: Timestamp,
    ) -> Result<Self, MemoryError> {
        let kept = &record.checkpoint;
        let something =
            !(kept.text.is_empty() && kept.reasoning.is_empty() && kept.calls.is_empty());
        let (state, status) = if something {
            (TurnState::Interrupted, EntryStatus::Interrupted)
        } else {
            (TurnState::Failed, EntryStatus::Failed)
        };
        let error = EntryError {
            code: RESTARTED.to_owned(),
            message: "the process that answered ended before the answer did; ask again".to_owned(),
        };
        let drafts = drafts(record, status, &error, now)?;
        Ok(Self {
            turn: record.id,
            authority,
            state,
            append: Append {
                parent: kept.tail.or(record.input),
                expect: Expect::Attach,
                append_id: AppendId::of_turn(record.id, CLOSING_STEP),
                fence: None,
                drafts,
            },
            error: Some(error.into()),
            usage: record.usage,
            context: record.context.clone(),
            last_event: kept.last_event.saturating_add(UNSEEN_EVENTS),
        })
    }
}

fn drafts(
    record: &TurnRecord,
    status: EntryStatus,
    error: &EntryError,
    now: Timestamp,
) -> Result<Vec<Draft>, MemoryError> {
    let kept = &record.checkpoint;
    let text = (!kept.text.is_empty()).then(|| Part::Text { text: kept.text.clone() });
    let reasoning = Some(kept.reasoning.clone()).filter(|it| !it.is_empty());
    let tool_calls: Vec<ToolCall> = kept.calls.iter().map(|it| it.call.clone()).collect();
    let reply = Message {
        role: Role::Assistant,
        content: text.into_iter().collect(),
        tool_calls,
        tool_call_id: None,
        reasoning,
        extra: None,
    };
    let messages = round(Some(reply), &kept.calls);
    let body = |(position, message): (usize, Message)| EntryBody {
        status: if position == 0 { status } else { EntryStatus::Complete },
        error: (position == 0).then(|| error.clone()),
        ..EntryBody::complete(message, now)
    };
    messages.into_iter().enumerate().map(|it| Draft::new(body(it))).collect()
}
