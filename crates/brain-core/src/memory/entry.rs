//! One entry of a session, and its canonical JSON.
//!
//! An entry is encoded once, here; stores keep those bytes beside the columns they search by, and
//! the export is made of the same bytes. A store never looks inside them.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    chat::{Message, ToolCall, Usage},
    ids::Seq,
    llm::FinishReason,
    memory::{MemoryError, MemoryErrorKind},
    time::Timestamp,
};

/// The version of the stored and exported format: 1, in JSON and everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormatVersion;

impl FormatVersion {
    /// The number.
    pub const NUMBER: u32 = 1;
}

impl Serialize for FormatVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(Self::NUMBER)
    }
}

impl<'de> Deserialize<'de> for FormatVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        if number == Self::NUMBER {
            return Ok(Self);
        }
        let known = Self::NUMBER;
        Err(D::Error::custom(format!("format version {number}; this codexd knows version {known}")))
    }
}

/// How an entry came to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryStatus {
    /// It is whole.
    #[default]
    Complete,
    /// It broke off after something had arrived.
    Interrupted,
    /// Nothing arrived; left out of the context.
    Failed,
    /// What it said was erased; left out of the context.
    Forgotten,
}

impl EntryStatus {
    /// The name in JSON: `complete`, `interrupted`, `failed` or `forgotten`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Forgotten => "forgotten",
        }
    }
}

/// Why an answer is not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryError {
    /// A stable code: that of the provider's or memory's error kind, `cancelled` or `restarted`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// What an entry says; its position is the store's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryBody {
    /// The version of the format.
    pub v: FormatVersion,
    /// The message; shared, so that a context window borrows it.
    pub message: Arc<Message>,
    /// How it came to its end.
    #[serde(default)]
    pub status: EntryStatus,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the turn cost up to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why the model stopped; `length` and `content_filter` say that it had more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// Why it is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<EntryError>,
    /// When it was said; for people, never for order.
    pub created_at: Timestamp,
}

impl EntryBody {
    /// A whole message.
    #[must_use]
    pub fn complete(message: Message, created_at: Timestamp) -> Self {
        Self {
            v: FormatVersion,
            message: Arc::new(message),
            status: EntryStatus::Complete,
            model: None,
            usage: None,
            finish_reason: None,
            error: None,
            created_at,
        }
    }

    /// What is left of an entry that was forgotten: whose it was, when, and the ids that keep calls
    /// and results together.
    #[must_use]
    pub fn forgotten(&self) -> Self {
        let calls = self.message.tool_calls.iter().map(|it| ToolCall {
            id: it.id.clone(),
            name: it.name.clone(),
            arguments: "{}".to_owned(),
            provider_id: None,
        });
        let message = Message {
            role: self.message.role,
            content: Vec::new(),
            reasoning: None,
            tool_calls: calls.collect(),
            tool_call_id: self.message.tool_call_id.clone(),
            extra: None,
        };
        let status = EntryStatus::Forgotten;
        Self { status, ..Self::complete(message, self.created_at) }
    }
}

/// An entry that is ready to be appended: its body and the bytes to store.
#[derive(Clone, Debug)]
pub struct Draft {
    body: Arc<EntryBody>,
    json: Arc<str>,
}

impl Draft {
    /// Encodes `body`.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Corrupt`] when it does not serialise, which no body of ours does.
    pub fn new(body: EntryBody) -> Result<Self, MemoryError> {
        let json = serde_json::to_string(&body).map_err(|error| {
            MemoryError::new("encode an entry", MemoryErrorKind::Corrupt).with_source(error)
        })?;
        Ok(Self { body: Arc::new(body), json: json.into() })
    }

    /// What it says.
    #[must_use]
    pub fn body(&self) -> &Arc<EntryBody> {
        &self.body
    }

    /// The canonical JSON.
    #[must_use]
    pub fn json(&self) -> &Arc<str> {
        &self.json
    }
}

/// A stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the session.
    pub seq: Seq,
    /// The entry it follows; `None` for a first one.
    pub parent: Option<Seq>,
    /// What it says.
    pub body: Arc<EntryBody>,
}

impl Entry {
    /// Reads stored bytes.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Corrupt`] when they are not an entry of a version that we know.
    pub fn decode(seq: Seq, parent: Option<Seq>, json: &str) -> Result<Self, MemoryError> {
        let body = serde_json::from_str(json).map_err(|error| {
            MemoryError::new("decode an entry", MemoryErrorKind::Corrupt).with_source(error)
        })?;
        Ok(Self { seq, parent, body: Arc::new(body) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Draft, Entry, EntryBody, EntryStatus};
    use crate::{
        chat::{Message, ToolCall, Usage},
        ids::Seq,
        json::RawJson,
        llm::FinishReason,
        memory::MemoryErrorKind,
        time::Timestamp,
    };

    fn full() -> EntryBody {
        let mut message = Message::assistant("it is \0 \u{1f600}");
        message.reasoning = Some("hm".into());
        message.tool_calls = vec![ToolCall {
            id: "c1".into(),
            name: "double".into(),
            arguments: "{ \"n\": 1e400 }".into(),
            provider_id: Some("call_x".into()),
        }];
        message.extra = Some(RawJson::parse(r#"{"z": 1.0, "annotations": []}"#).unwrap());
        EntryBody {
            status: EntryStatus::Interrupted,
            model: Some("m".into()),
            finish_reason: Some(FinishReason::Length),
            usage: Some(Usage { input_tokens: 1, output_tokens: 2, ..Usage::default() }),
            ..EntryBody::complete(message, Timestamp::from_millis(0))
        }
    }

    #[test]
    fn the_stored_format_is_a_decision() {
        insta::assert_snapshot!(Draft::new(full()).unwrap().json());
        let plain = EntryBody::complete(Message::user("hi"), Timestamp::from_millis(0));
        insta::assert_snapshot!(Draft::new(plain).unwrap().json());
    }

    #[test]
    fn what_is_stored_reads_back() {
        let draft = Draft::new(full()).unwrap();
        let entry = Entry::decode(Seq(1), None, draft.json()).unwrap();
        assert_eq!(entry.body, *draft.body());
    }

    #[test]
    fn other_versions_and_unknown_fields_are_refused() {
        let good = Draft::new(full()).unwrap().json().to_string();
        for bad in [good.replace("\"v\":1", "\"v\":2"), good.replace("\"status\"", "\"state\"")] {
            let error = Entry::decode(Seq(1), None, &bad).unwrap_err();
            assert_eq!(error.kind(), MemoryErrorKind::Corrupt);
        }
    }
}
