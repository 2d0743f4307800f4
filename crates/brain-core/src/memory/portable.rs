//! The exported format, and moving it out of and into any store.
//!
//! What is exported carries no export time, no owner, no token and no installation, so that
//! export, import and export again give the same bytes on every store.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Seq, SessionId},
    json::RawJson,
    memory::{EntryBody, FormatVersion, MemoryClass},
    time::Timestamp,
};

/// Everything an owner has, as one JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Always `codexd-memory`.
    pub format: String,
    /// The version of the format.
    pub v: FormatVersion,
    /// Sessions by (created, id), oldest first.
    pub sessions: Vec<ExportedSession>,
}

/// One session with all of its branches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedSession {
    /// What it is called.
    pub id: SessionId,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The client's JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RawJson>,
    /// The system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Whether recalled entries go into the context.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recall: bool,
    /// How long its content is kept.
    #[serde(default)]
    pub class: MemoryClass,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The entry after which the next append goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Seq>,
    /// Entries by position; a parent stands before its children.
    pub entries: Vec<ExportedEntry>,
}

/// One entry with its place in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedEntry {
    /// Position in the session.
    pub seq: Seq,
    /// The entry it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Seq>,
    /// What it says, in the stored format.
    pub entry: EntryBody,
}
