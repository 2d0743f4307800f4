//! Ending turns that nobody drives any more, with what their checkpoints kept.

use std::sync::Arc;

use super::{
    Inner,
    background::{self, Job, TitleJob},
    event::RESTARTED,
    turn,
};
use crate::{
    chat::{Message, Part, Role, ToolCall},
    ids::AppendId,
    memory::{
        Append, Authority, CloseTurn, Draft, EntryBody, EntryError, EntryStatus, Expect,
        MemoryError, MemoryErrorKind, TurnRecord, TurnState,
    },
    time::Timestamp,
};

/// More events than a holder can have told between a checkpoint and its end: the last event of a
/// turn that it did not end itself is numbered above all that anybody may have seen.
const UNSEEN_EVENTS: u64 = 1 << 32;

/// The step number of a turn's closing append; higher than any round's.
pub(super) const CLOSING_STEP: u32 = u32::MAX;

/// Ends every running turn of the storage; the caller has it for itself.
///
/// A turn that cannot be ended is logged and left: it must not keep the others, and the process,
/// from starting.
pub(super) async fn recover(inner: &Arc<Inner>) -> Result<usize, MemoryError> {
    let mut ended = 0;
    for record in inner.ports.store.unfinished().await? {
        if record.state != TurnState::Running || record.holder == inner.holder {
            continue;
        }
        match end(inner, &record, Authority::Exclusive).await {
            Ok(()) => ended += 1,
            Err(error) => tracing::error!(turn.id = %record.id, %error, "could not end a turn"),
        }
    }
    Ok(ended)
}

/// Ends a turn whose lease has lapsed, or that waits for an approval; somebody else may have been
/// faster.
pub(super) async fn end_lapsed(inner: &Arc<Inner>, record: &TurnRecord) -> Result<(), MemoryError> {
    let authority = match record.state {
        TurnState::Waiting => Authority::Exclusive,
        TurnState::Running | TurnState::Completed | TurnState::Interrupted | TurnState::Failed => {
            Authority::Lapsed
        }
    };
    match end(inner, record, authority).await {
        Err(error) if error.kind() != MemoryErrorKind::Superseded => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn end(
    inner: &Arc<Inner>,
    record: &TurnRecord,
    authority: Authority,
) -> Result<(), MemoryError> {
    inner.ports.store.close(closing(inner, record, authority)?).await?;
    if let Some(branch) = record.input.filter(|_| inner.config.titles) {
        let title = Some(TitleJob { branch, model: None });
        background::enqueue(inner, Job { session: record.session.clone(), title, summary: None });
    }
    Ok(())
}

fn closing(
    inner: &Inner,
    record: &TurnRecord,
    authority: Authority,
) -> Result<CloseTurn, MemoryError> {
    let kept = &record.checkpoint;
    let something = !(kept.text.is_empty() && kept.reasoning.is_empty() && kept.calls.is_empty());
    let (state, status) = if something {
        (TurnState::Interrupted, EntryStatus::Interrupted)
    } else {
        (TurnState::Failed, EntryStatus::Failed)
    };
    let error = EntryError {
        code: RESTARTED.to_owned(),
        message: "the process that answered ended before the answer did; ask again".to_owned(),
    };
    let drafts = drafts(record, status, &error, inner.ports.clock.now())?;
    Ok(CloseTurn {
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
        error: Some(error),
        usage: record.usage,
        context: record.context.clone(),
        last_event: kept.last_event.saturating_add(UNSEEN_EVENTS),
    })
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
    let messages = turn::round(Some(reply), &kept.calls);
    let body = |(position, message): (usize, Message)| EntryBody {
        status: if position == 0 { status } else { EntryStatus::Complete },
        error: (position == 0).then(|| error.clone()),
        ..EntryBody::complete(message, now)
    };
    messages.into_iter().enumerate().map(|it| Draft::new(body(it))).collect()
}
