//! A turn as a stored record, and what its holder tells the store about it.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    chat::{ToolCall, Usage},
    ids::{HolderId, IdempotencyKey, Seq, SessionKey, TurnId},
    json::RawJson,
    memory::{Append, Appended, EntryError, NewSession},
    time::Timestamp,
    window::ContextReport,
};

/// Where a turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// It holds a lease and works.
    Running,
    /// It waits for an approval, without a lease.
    Waiting,
    /// It ended with a whole answer.
    Completed,
    /// It ended after something had arrived.
    Interrupted,
    /// It ended before anything had arrived.
    Failed,
}

impl TurnState {
    /// Whether the turn is not over.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Running | Self::Waiting => true,
            Self::Completed | Self::Interrupted | Self::Failed => false,
        }
    }

    /// The name in JSON and in databases.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// Why a turn did not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnError {
    /// A stable code, as in [`EntryError`].
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// How long the provider asked to wait before it is asked again; in milliseconds in JSON.
    #[serde(
        default,
        rename = "retry_after_ms",
        serialize_with = "as_millis",
        deserialize_with = "from_millis",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<Duration>,
}

impl From<TurnError> for EntryError {
    /// When to ask again is of no interest to history.
    fn from(TurnError { code, message, .. }: TurnError) -> Self {
        Self { code, message }
    }
}

impl From<EntryError> for TurnError {
    fn from(EntryError { code, message }: EntryError) -> Self {
        Self { code, message, retry_after: None }
    }
}

#[expect(clippy::ref_option, reason = "serde calls it by reference")]
fn as_millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let millis = time.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
    millis.serialize(serializer)
}

fn from_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
}

/// A client's key for a request, and what the request was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// Scoped to the owner.
    pub key: IdempotencyKey,
    /// SHA-256 of the request in hexadecimal: another request with this key is refused.
    pub request_hash: String,
}

impl Idempotency {
    /// How long a key is known.
    pub const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
}

/// Proof that an append or a checkpoint comes from whoever holds the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The turn.
    pub turn: TurnId,
    /// Its holder.
    pub holder: HolderId,
}

/// By what right a turn is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Its holder ends it.
    Holder(HolderId),
    /// Whoever finds its lease lapsed ends it.
    Lapsed,
    /// The only process on this storage ends what its predecessor left, or what waits.
    Exclusive,
}

/// Where a tool call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// The model asked for it.
    Planned,
    /// It waits for an approval.
    Waiting,
    /// It may run.
    Approved,
    /// It may not run.
    Denied,
    /// It may have run; without a result it never runs again.
    Started,
    /// It has a result.
    Done,
}

/// A tool call of a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// What the model asked for.
    pub call: ToolCall,
    /// Where it stands.
    pub state: CallState,
    /// What the model is told, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// What there is of an answer: enough to show it, and to end the turn after a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The text so far of the model call under way.
    pub text: String,
    /// Its reasoning so far.
    pub reasoning: String,
    /// The tool calls of the round under way.
    pub calls: Vec<CallRecord>,
    /// Number of the last event that listeners may have seen.
    pub last_event: u64,
    /// Position of the last entry that the turn has appended.
    pub tail: Option<Seq>,
    /// Whether the turn now waits for an approval.
    pub waiting: bool,
}

/// A turn as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRecord {
    /// Its name.
    pub id: TurnId,
    /// Whose session it belongs to.
    pub session: SessionKey,
    /// The client's key for it.
    pub idempotency: Option<Idempotency>,
    /// The request, as the brain wrote it.
    pub request: RawJson,
    /// Where it stands.
    pub state: TurnState,
    /// Who works on it, or did last.
    pub holder: HolderId,
    /// Until when the holder holds it, by the store's clock; `None` when nobody does.
    pub lease_until: Option<Timestamp>,
    /// What there is of the answer.
    pub checkpoint: Checkpoint,
    /// Whether somebody asked it to stop.
    pub cancel_requested: bool,
    /// Position of the user's entry; `None` if the turn answers an earlier one again.
    pub input: Option<Seq>,
    /// Position of the answer, once it is over.
    pub answer: Option<Seq>,
    /// Why it did not complete.
    pub error: Option<TurnError>,
    /// What it cost.
    pub usage: Option<Usage>,
    /// What the model was shown in its last call, once the turn is over.
    pub context: Option<ContextReport>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl TurnRecord {
    /// A turn that was just opened, as every store makes it.
    #[must_use]
    pub fn opened(open: OpenTurn, appended: Appended, now: Timestamp) -> Self {
        Self {
            id: open.id,
            session: open.session,
            idempotency: open.idempotency,
            request: open.request,
            state: TurnState::Running,
            holder: open.holder,
            lease_until: Some(now.plus(open.lease)),
            checkpoint: Checkpoint { tail: appended.last, ..Checkpoint::default() },
            cancel_requested: false,
            input: appended.last.filter(|_| !open.append.drafts.is_empty()),
            answer: None,
            error: None,
            usage: None,
            context: None,
            opened_at: now,
            ended_at: None,
        }
    }

    /// How much of the lease is left at `now`; `None` when it has lapsed or nobody holds the turn.
    #[must_use]
    pub fn lease_left(&self, now: Timestamp) -> Option<Duration> {
        self.lease_until.map(|until| until.since(now)).filter(|left| !left.is_zero())
    }

    /// Whether this holder holds the turn; a lapsed lease that nobody took still holds.
    #[must_use]
    pub fn is_held_by(&self, holder: HolderId) -> bool {
        self.state == TurnState::Running && self.holder == holder
    }

    /// Whether `holder` may [take](crate::memory::Turns::take) the turn at `now`.
    #[must_use]
    pub fn may_be_taken_by(&self, holder: HolderId, now: Timestamp) -> bool {
        self.state.is_open() && (self.holder == holder || self.lease_left(now).is_none())
    }

    /// Whether the turn runs, and its lease has lapsed at `now`.
    #[must_use]
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        self.state == TurnState::Running && self.lease_left(now).is_none()
    }

    /// Whether the turn may be ended by this right at `now`.
    #[must_use]
    pub fn may_be_ended_by(&self, authority: Authority, now: Timestamp) -> bool {
        match authority {
            Authority::Holder(holder) => self.is_held_by(holder),
            Authority::Lapsed => self.has_lapsed(now),
            Authority::Exclusive => self.state.is_open(),
        }
    }

    /// Ends the turn, whose answer was appended, as every store does.
    pub fn end(&mut self, close: &CloseTurn, appended: Appended, now: Timestamp) {
        let (last_event, tail) = (close.last_event, appended.last);
        self.checkpoint = Checkpoint { last_event, tail, ..Checkpoint::default() };
        self.state = close.state;
        self.lease_until = None;
        self.answer = appended.last.filter(|_| !close.append.drafts.is_empty());
        self.error.clone_from(&close.error);
        self.usage = close.usage;
        self.context.clone_from(&close.context);
        self.ended_at = Some(now);
    }
}

/// A turn to open.
#[derive(Clone, Debug)]
pub struct OpenTurn {
    /// Its name; the append's fence is not needed and ignored.
    pub id: TurnId,
    /// Whose session.
    pub session: SessionKey,
    /// What to make the session with if it does not exist.
    pub create: Option<NewSession>,
    /// The client's key for it.
    pub idempotency: Option<Idempotency>,
    /// The request, for the record.
    pub request: RawJson,
    /// Who will work on it.
    pub holder: HolderId,
    /// For how long it is held at first.
    pub lease: Duration,
    /// The user's entry.
    pub append: Append,
}

/// What became of a turn to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open, and the user's entry is stored.
    Started {
        /// The turn.
        turn: TurnRecord,
        /// What the append did.
        appended: Appended,
    },
    /// The idempotency key opened this turn earlier, by an equal request.
    Known(TurnRecord),
    /// The session has an open turn.
    Busy {
        /// That turn.
        turn: TurnRecord,
        /// How much of its lease is left; `None` when it has lapsed or the turn waits.
        lease_left: Option<Duration>,
    },
}

/// What a holder is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Stop.
    pub cancel: bool,
}

/// How a turn ends.
#[derive(Clone, Debug)]
pub struct CloseTurn {
    /// The turn.
    pub turn: TurnId,
    /// By what right.
    pub authority: Authority,
    /// How it ended; not an open state.
    pub state: TurnState,
    /// The answer; its fence is not needed and ignored.
    pub append: Append,
    /// Why it did not complete.
    pub error: Option<TurnError>,
    /// What it cost.
    pub usage: Option<Usage>,
    /// What the model was shown in its last call.
    pub context: Option<ContextReport>,
    /// Number of the last event.
    pub last_event: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::TurnError;

    #[test]
    fn an_error_says_when_to_ask_again_if_anybody_knows() {
        let old = r#"{"code":"a","message":"b"}"#;
        let error: TurnError = serde_json::from_str(old).unwrap();
        assert_eq!(error.retry_after, None);
        assert_eq!(serde_json::to_string(&error).unwrap(), old);
        let error = TurnError { retry_after: Some(Duration::from_millis(1_500)), ..error };
        let new = serde_json::to_string(&error).unwrap();
        assert_eq!(new, r#"{"code":"a","message":"b","retry_after_ms":1500}"#);
        assert_eq!(serde_json::from_str::<TurnError>(&new).unwrap(), error);
    }
}
