//! Turns, their events and entries as JSON.
//!
//! These are the shapes on the wire; the stored format is `brain-core`'s.

use std::sync::Arc;

use brain_core::{
    brain::{Listener, TurnEnd, TurnEvent, TurnEventKind, TurnView},
    chat::{Part, Role, ToolCall, Usage},
    ids::{Seq, SessionId, TurnId},
    json::RawJson,
    llm::FinishReason,
    memory::{CallRecord, Entry, EntryError, EntryStatus, TurnError, TurnState},
    time::Timestamp,
    window::ContextReport,
};
use futures_util::StreamExt;
use serde::{Serialize, Serializer};

use crate::error::ApiError;

/// An entry of a session.
#[derive(Debug, Serialize)]
pub(crate) struct EntryView<'a> {
    seq: Seq,
    parent: Option<Seq>,
    role: Role,
    status: EntryStatus,
    content: &'a [Part],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tool_calls: &'a [ToolCall],
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<FinishReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a EntryError>,
    created_at: Timestamp,
}

impl<'a> EntryView<'a> {
    pub(crate) fn of(entry: &'a Entry) -> Self {
        let (body, message) = (&*entry.body, &*entry.body.message);
        Self {
            seq: entry.seq,
            parent: entry.parent,
            role: message.role,
            status: body.status,
            content: &message.content,
            tool_calls: &message.tool_calls,
            tool_call_id: message.tool_call_id.as_deref(),
            reasoning: message.reasoning.as_deref(),
            extra: message.extra.as_ref(),
            model: body.model.as_deref(),
            usage: body.usage,
            finish_reason: body.finish_reason,
            error: body.error.as_ref(),
            created_at: body.created_at,
        }
    }
}

/// How a turn ended.
#[derive(Debug, Serialize)]
pub(super) struct Answer<'a> {
    session_id: &'a SessionId,
    turn_id: TurnId,
    /// How it ended, in the word of its last event.
    status: &'static str,
    message: Option<EntryView<'a>>,
    usage: Option<Usage>,
    context: Option<ContextReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a TurnError>,
}

impl<'a> Answer<'a> {
    fn new(status: &'static str, end: &'a TurnEnd) -> Self {
        Self {
            session_id: &end.session_id,
            turn_id: end.turn_id,
            status,
            message: end.answer.as_ref().map(EntryView::of),
            usage: end.usage,
            context: end.context.clone(),
            error: end.error.as_ref(),
        }
    }

    /// The answer for a caller who waits for all of it; `None` if the event is not a last one.
    ///
    /// A turn that broke is an error there.
    pub(super) fn whole(last: &'a TurnEventKind) -> Result<Option<Self>, ApiError> {
        if let TurnEventKind::Failed(end) = last {
            return Err(ApiError::of_failed_turn(end));
        }
        Ok(last.end().zip(end_word(last)).map(|(end, word)| Self::new(word, end)))
    }
}

/// The last event of a turn; `None` if the turn was lost from sight.
pub(super) async fn last_event(mut events: Listener) -> Option<Arc<TurnEvent>> {
    while let Some(event) = events.next().await {
        if event.kind.end().is_some() {
            return Some(event);
        }
    }
    None
}

fn end_word(kind: &TurnEventKind) -> Option<&'static str> {
    match kind {
        TurnEventKind::Completed(_) => Some("completed"),
        TurnEventKind::Interrupted(_) => Some("interrupted"),
        TurnEventKind::Failed(_) => Some("failed"),
        TurnEventKind::Started(_)
        | TurnEventKind::Progress(_)
        | TurnEventKind::TextDelta(_)
        | TurnEventKind::ReasoningDelta(_)
        | TurnEventKind::ToolCall(_)
        | TurnEventKind::ToolResult(_)
        | TurnEventKind::Snapshot(_) => None,
    }
}

/// The data of an event.
#[derive(Debug)]
pub(super) struct EventData<'a>(pub(super) &'a TurnEventKind);

#[derive(Serialize)]
struct Delta<'a> {
    text: &'a str,
}

impl Serialize for EventData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            TurnEventKind::Started(started) => started.serialize(serializer),
            TurnEventKind::Progress(progress) => progress.serialize(serializer),
            TurnEventKind::TextDelta(text) | TurnEventKind::ReasoningDelta(text) => {
                Delta { text }.serialize(serializer)
            }
            TurnEventKind::ToolCall(call) => call.serialize(serializer),
            TurnEventKind::ToolResult(outcome) => outcome.serialize(serializer),
            TurnEventKind::Snapshot(snapshot) => snapshot.serialize(serializer),
            TurnEventKind::Completed(end) => Answer::new("completed", end).serialize(serializer),
            TurnEventKind::Interrupted(end) => {
                Answer::new("interrupted", end).serialize(serializer)
            }
            TurnEventKind::Failed(end) => Answer::new("failed", end).serialize(serializer),
        }
    }
}

/// A turn as it stands.
#[derive(Debug, Serialize)]
pub(super) struct ViewOfTurn<'a> {
    turn_id: TurnId,
    session_id: &'a SessionId,
    status: &'static str,
    input_seq: Option<Seq>,
    text: String,
    reasoning: &'a str,
    tool_calls: &'a [CallRecord],
    message: Option<EntryView<'a>>,
    usage: Option<Usage>,
    context: Option<&'a ContextReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a TurnError>,
    opened_at: Timestamp,
    ended_at: Option<Timestamp>,
    last_event: u64,
}

impl<'a> ViewOfTurn<'a> {
    pub(super) fn of(view: &'a TurnView) -> Self {
        let TurnView { record, answer } = view;
        let answered = answer.as_ref().map(|it| &*it.body.message);
        let reasoning = answered.and_then(|it| it.reasoning.as_deref());
        Self {
            turn_id: record.id,
            session_id: &record.session.id,
            status: status_word(view),
            input_seq: record.input,
            text: answered.map_or_else(|| record.checkpoint.text.clone(), |it| it.joined_text()),
            reasoning: reasoning.unwrap_or(&record.checkpoint.reasoning),
            tool_calls: &record.checkpoint.calls,
            message: answer.as_ref().map(EntryView::of),
            usage: record.usage,
            context: record.context.as_ref(),
            error: record.error.as_ref(),
            opened_at: record.opened_at,
            ended_at: record.ended_at,
            last_event: record.checkpoint.last_event,
        }
    }
}

/// `running` or `waiting`, else the word of its last event.
fn status_word(view: &TurnView) -> &'static str {
    let record = &view.record;
    match record.state {
        TurnState::Running | TurnState::Waiting => record.state.as_str(),
        TurnState::Completed | TurnState::Interrupted | TurnState::Failed => {
            let end = TurnEnd {
                session_id: record.session.id.clone(),
                turn_id: record.id,
                status: record.state,
                answer: None,
                usage: None,
                context: None,
                error: record.error.clone(),
            };
            end_word(&end.into()).unwrap_or_else(|| record.state.as_str())
        }
    }
}
