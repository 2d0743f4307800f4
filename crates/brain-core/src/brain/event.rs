//! What listeners of a turn are told, as numbered events.
//!
//! How an event looks on a wire is the surface's business.

use serde::Serialize;

use crate::{
    chat::{Message, ToolCall, Usage},
    ids::{Seq, SessionId, TurnId},
    llm::Progress,
    memory::{CallRecord, Entry, TurnError, TurnState},
    window::ContextReport,
};

/// One event of a turn.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnEvent {
    /// Rises from 1 within the turn, and may skip.
    pub number: u64,
    /// What happened.
    pub kind: TurnEventKind,
}

/// What happened in a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnEventKind {
    /// The user's message is stored, and the turn runs. The first event.
    Started(TurnStarted),
    /// A model is loaded or fetched.
    Progress(Progress),
    /// More of the answer.
    TextDelta(String),
    /// More of the model's reasoning.
    ReasoningDelta(String),
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// A tool has answered.
    ToolResult(ToolOutcome),
    /// All there is so far, in place of events that are gone.
    Snapshot(Box<TurnSnapshot>),
    /// The answer is whole and stored. A last event.
    Completed(Box<TurnEnd>),
    /// The turn was stopped; what there was is stored. A last event.
    Interrupted(Box<TurnEnd>),
    /// The turn broke; what there was is stored. A last event.
    Failed(Box<TurnEnd>),
}

impl TurnEventKind {
    /// The event's name on the wires: `turn.started`, `text.delta` …
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "turn.started",
            Self::Progress(_) => "model.progress",
            Self::TextDelta(_) => "text.delta",
            Self::ReasoningDelta(_) => "reasoning.delta",
            Self::ToolCall(_) => "tool.call",
            Self::ToolResult(_) => "tool.result",
            Self::Snapshot(_) => "turn.snapshot",
            Self::Completed(_) => "turn.completed",
            Self::Interrupted(_) => "turn.interrupted",
            Self::Failed(_) => "turn.failed",
        }
    }

    /// How the turn ended, if this is a last event.
    #[must_use]
    pub fn end(&self) -> Option<&TurnEnd> {
        match self {
            Self::Completed(end) | Self::Interrupted(end) | Self::Failed(end) => Some(end),
            Self::Started(_)
            | Self::Progress(_)
            | Self::TextDelta(_)
            | Self::ReasoningDelta(_)
            | Self::ToolCall(_)
            | Self::ToolResult(_)
            | Self::Snapshot(_) => None,
        }
    }

    /// Roughly how many bytes a log needs to keep it.
    pub(super) fn weight(&self) -> usize {
        let payload = match self {
            Self::TextDelta(text) | Self::ReasoningDelta(text) => text.len(),
            Self::ToolCall(call) => call.arguments.len() + call.name.len(),
            Self::ToolResult(outcome) => outcome.result.len(),
            Self::Started(_) | Self::Progress(_) | Self::Snapshot(_) => 256,
            Self::Completed(end) | Self::Interrupted(end) | Self::Failed(end) => {
                let message = end.answer.as_ref().map(|it| &it.body.message);
                256 + message.map_or(0, |it| message_bytes(it))
            }
        };
        payload + 64
    }
}

fn message_bytes(message: &Message) -> usize {
    let texts: usize = message.texts().map(str::len).sum();
    texts + message.reasoning.as_ref().map_or(0, String::len)
}

/// A turn has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TurnStarted {
    /// The session.
    pub session_id: SessionId,
    /// The turn.
    pub turn_id: TurnId,
    /// Position of the user's entry; `None` when an earlier one is answered again.
    pub input_seq: Option<Seq>,
}

/// A tool has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolOutcome {
    /// The call it answers.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// What the model is told.
    pub result: String,
    /// Whether the call was allowed to run.
    pub allowed: bool,
}

/// All there is of a turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TurnSnapshot {
    /// The session.
    pub session_id: SessionId,
    /// The turn.
    pub turn_id: TurnId,
    /// Where it stands.
    pub status: TurnState,
    /// The text so far of the model call under way; earlier rounds are entries of the session.
    pub text: String,
    /// Its reasoning so far.
    pub reasoning: String,
    /// The tool calls of the round under way.
    pub calls: Vec<CallRecord>,
}

impl TurnSnapshot {
    /// Lets go of what belongs to the model call under way.
    pub(super) fn clear(&mut self) {
        self.text = String::new();
        self.reasoning = String::new();
        self.calls = Vec::new();
    }
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnEnd {
    /// The session.
    pub session_id: SessionId,
    /// The turn.
    pub turn_id: TurnId,
    /// How it ended.
    pub status: TurnState,
    /// The answer as it is stored; `None` if its session was forgotten meanwhile.
    pub answer: Option<Entry>,
    /// What it cost.
    pub usage: Option<Usage>,
    /// What the model was shown in its last call; `None` if it was not asked, or nobody lived to say.
    pub context: Option<ContextReport>,
    /// Why it did not complete.
    pub error: Option<TurnError>,
}

/// The code of a turn that somebody stopped.
pub const CANCELLED: &str = "cancelled";
/// The code of a turn whose process ended before it did.
pub const RESTARTED: &str = "restarted";
/// The code of a turn that lost its lease, or its session.
pub const SUPERSEDED: &str = "turn_superseded";

impl From<TurnEnd> for TurnEventKind {
    fn from(end: TurnEnd) -> Self {
        let code = end.error.as_ref().map(|error| error.code.as_str());
        match (end.status, code) {
            (TurnState::Completed, _) => Self::Completed(Box::new(end)),
            (_, Some(CANCELLED | RESTARTED | SUPERSEDED)) => Self::Interrupted(Box::new(end)),
            (
                TurnState::Running
                | TurnState::Waiting
                | TurnState::Interrupted
                | TurnState::Failed,
                _,
            ) => Self::Failed(Box::new(end)),
        }
    }
}
