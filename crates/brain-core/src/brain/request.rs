//! What a client asks of the brain: one user input, and how to answer it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ChatError;
use crate::{
    chat::Part,
    ids::{IdempotencyKey, Seq, SessionId},
    json::RawJson,
    llm::GenerationOptions,
    memory::{Idempotency, MemoryClass},
};

/// One user input, and how to answer it.
///
/// `Default` is an empty request; set [`TurnRequest::input`] at least.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TurnRequest {
    /// The session to go on with; `None` starts a new one.
    pub session: Option<SessionId>,
    /// What to answer.
    pub input: TurnInput,
    /// The entry to answer after; `None` is the head. Another one starts a branch.
    pub parent: Option<Seq>,
    /// The session's name for people; kept with the session.
    pub title: Option<String>,
    /// A JSON object; kept with the session.
    pub metadata: Option<RawJson>,
    /// The model, as `provider/model` or a name of the default provider's.
    pub model: Option<String>,
    /// The system prompt; kept with the session.
    pub system: Option<String>,
    /// Names of the tools that the model may call; `None` is all, an empty list none.
    pub tools: Option<Vec<String>>,
    /// How to sample.
    pub options: GenerationOptions,
    /// The class of a new session.
    pub class: MemoryClass,
    /// Whether recalled entries go into the context; kept with the session.
    pub recall: Option<bool>,
    /// What to do while another turn of the session runs.
    pub on_busy: OnBusy,
    /// What to do when nobody listens any more.
    pub on_disconnect: OnDisconnect,
    /// The client's name for this request. Not part of what is hashed.
    #[serde(skip)]
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnInput {
    /// A new message of the user's.
    Message(Vec<Part>),
    /// An earlier message again: the position of the user's entry, or of its answer.
    Regenerate(Seq),
}

impl Default for TurnInput {
    fn default() -> Self {
        Self::Message(Vec::new())
    }
}

/// What to do while another turn of the session runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBusy {
    /// Wait for its end, at most [`super::Limits::busy_wait`].
    #[default]
    Wait,
    /// Refuse at once.
    Reject,
}

/// What to do when nobody listens any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    /// Go on; the answer will be in memory.
    #[default]
    Continue,
    /// Stop.
    Cancel,
}

impl TurnRequest {
    /// A request that says `text` in a session, or in a new one.
    #[must_use]
    pub fn text(session: Option<SessionId>, text: impl Into<String>) -> Self {
        let input = TurnInput::Message(vec![Part::Text { text: text.into() }]);
        Self { session, input, ..Self::default() }
    }

    /// The request as it is stored in the turn's record.
    pub(super) fn to_json(&self) -> Result<RawJson, ChatError> {
        RawJson::of(self).map_err(|error| ChatError::Invalid(error.to_string()))
    }

    /// The key, with the hash of everything else.
    pub(super) fn idempotency(&self, json: &RawJson) -> Option<Idempotency> {
        let hash = Sha256::digest(json.as_str());
        let request_hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = self.idempotency_key.clone()?;
        Some(Idempotency { key, request_hash })
    }

    /// Refuses what no turn could make sense of.
    pub(super) fn validate(&self, max_bytes: usize) -> Result<(), ChatError> {
        if let TurnInput::Message(parts) = &self.input {
            let bytes: usize = parts.iter().map(part_bytes).sum();
            if max_bytes < bytes {
                return Err(ChatError::MessageTooLarge { bytes, max_bytes });
            }
            let blank = |part: &Part| matches!(part, Part::Text { text } if text.trim().is_empty());
            if parts.iter().all(blank) {
                return Err(ChatError::Invalid("`message` is empty; say something".to_owned()));
            }
        }
        if self.model.as_ref().is_some_and(|it| !it.is_empty() && it.trim().is_empty()) {
            let message = "`model` is blank; name one, or leave it out";
            return Err(ChatError::Invalid(message.to_owned()));
        }
        if self.metadata.as_ref().is_some_and(|it| !it.is_object()) {
            return Err(ChatError::Invalid("`metadata` must be a JSON object".to_owned()));
        }
        Ok(())
    }
}

fn part_bytes(part: &Part) -> usize {
    match part {
        Part::Text { text } => text.len(),
        Part::Image { url } => url.len(),
        Part::File { file_id, name } => file_id.len() + name.as_ref().map_or(0, String::len),
    }
}
