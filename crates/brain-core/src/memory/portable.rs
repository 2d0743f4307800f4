//! The exported format, and moving it out of and into any store.
//!
//! What is exported carries no export time, no owner, no token and no installation, so that
//! export, import and export again give the same bytes on every store. The exports of other
//! programs come in too: [`ImportReader`].

mod bounds;
mod chatgpt;
mod error;
mod export;
mod foreign;
mod graph;
mod import;
mod loose;
mod note;
mod open_webui;
mod reader;
mod scan;
mod tree;

use futures_util::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

pub use self::{
    error::{ImportError, ImportErrorKind},
    export::{export, export_by_scan},
    import::{ImportReport, Importer, OnConflict, Refused, Renamed, import},
    note::{Notes, Skipped},
    reader::{ImportItem, ImportReader},
    scan::Place,
    tree::TreeError,
};
use crate::{
    ids::{Seq, SessionId},
    json::RawJson,
    memory::{
        Entry, EntryBody, FormatVersion, MemoryClass, MemoryError, MemoryErrorKind, Restored,
        Session, Summary, TurnRecord,
    },
    time::Timestamp,
};

/// What putting a session back is called in errors.
const RESTORE: &str = "restore the session";

/// Everything an owner has, as one JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Always [`Document::FORMAT`]; another one does not deserialise.
    #[serde(deserialize_with = "known_format")]
    pub format: String,
    /// The version of the format.
    pub v: FormatVersion,
    /// Sessions by (created, id), oldest first.
    pub sessions: Vec<ExportedSession>,
}

impl Document {
    /// What [`Document::format`] says.
    pub const FORMAT: &str = "codexd-memory";

    /// A document of these sessions.
    #[must_use]
    pub fn new(sessions: Vec<ExportedSession>) -> Self {
        Self { format: Self::FORMAT.to_owned(), v: FormatVersion, sessions }
    }

    /// The sessions, as [`import`] takes them.
    #[must_use]
    pub fn into_stream(self) -> BoxStream<'static, Result<ExportedSession, MemoryError>> {
        stream::iter(self.sessions.into_iter().map(Ok)).boxed()
    }
}

fn known_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let format = String::deserialize(deserializer)?;
    if format == Document::FORMAT {
        return Ok(format);
    }
    let known = Document::FORMAT;
    Err(D::Error::custom(format!("the format is `{format}`, not `{known}`")))
}

/// What the lines of an export end with, so that one that was cut between two lines is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LastLine {
    /// All of it is there.
    End {
        /// How many sessions stand before it, a line each.
        sessions: u64,
    },
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
    /// Whether the title was made of what was said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_default_title: bool,
    /// The client's JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RawJson>,
    /// The system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The model that answers where a message names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
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
    /// Its summaries by position.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub summaries: Vec<Summary>,
    /// Entries by position; a parent stands before its children.
    pub entries: Vec<ExportedEntry>,
}

/// A piece of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportPart {
    /// A session begins.
    Session(ExportedHead),
    /// An entry of the session that began last.
    Entry(ExportedEntry),
}

/// A session without its entries; as JSON, what stands before `entries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedHead(ExportedSession);

impl ExportedHead {
    /// A session and its summaries by position.
    #[must_use]
    pub fn of(session: &Session, summaries: Vec<Summary>) -> Self {
        let Session { id, title, metadata, system, model, recall, class, head, .. } =
            session.clone();
        let Session { has_default_title, created_at, updated_at, .. } = *session;
        let entries = Vec::new();
        Self(ExportedSession {
            id,
            title,
            has_default_title,
            metadata,
            system,
            model,
            recall,
            class,
            created_at,
            updated_at,
            head,
            summaries,
            entries,
        })
    }

    /// A session and its entries apart.
    #[must_use]
    pub fn split(mut session: ExportedSession) -> (Self, Vec<ExportedEntry>) {
        let entries = std::mem::take(&mut session.entries);
        (Self(session), entries)
    }

    /// The same with its entries.
    #[must_use]
    pub fn with(self, entries: Vec<ExportedEntry>) -> ExportedSession {
        ExportedSession { entries, ..self.0 }
    }

    /// The session, without entries.
    #[must_use]
    pub fn session(&self) -> &ExportedSession {
        &self.0
    }
}

impl ExportedSession {
    /// A session with these entries, which are all of its branches by position, and its summaries
    /// by position.
    pub fn of<'a>(
        session: &Session,
        entries: impl IntoIterator<Item = &'a Entry>,
        summaries: Vec<Summary>,
    ) -> Self {
        let entries = entries.into_iter().map(ExportedEntry::from).collect();
        ExportedHead::of(session, summaries).with(entries)
    }

    /// What a store checks before a session of another store is [moved in](super::Portable::move_in).
    ///
    /// # Errors
    ///
    /// Those of [`Self::check_tree`]; [`MemoryErrorKind::Conflict`] when a turn is not over.
    pub fn check_move(&self, turns: &[TurnRecord]) -> Result<(), MemoryError> {
        self.check_tree()?;
        if turns.iter().any(|it| it.state.is_open()) {
            return Err(MemoryError::new(RESTORE, MemoryErrorKind::Conflict));
        }
        Ok(())
    }

    /// What restoring this over a stored session amounts to; their ids may differ.
    ///
    /// Equal content is [`Restored::Unchanged`], whatever the summaries are. A stored session that
    /// was made at the same time, in the same class, and whose entries are the first ones of this
    /// is [`Restored::Extended`]: it gets the other entries, and everything else as it is here.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Conflict`] when the stored session is another one, or has gone on.
    pub fn compare(&self, stored: &Self) -> Result<Restored, MemoryError> {
        let (id, summaries) = (self.id.clone(), self.summaries.clone());
        if *self == (Self { id, summaries, ..stored.clone() }) {
            return Ok(Restored::Unchanged);
        }
        let same = self.created_at == stored.created_at && self.class == stored.class;
        match self.entries.strip_prefix(stored.entries.as_slice()) {
            Some(more) if same && !more.is_empty() => Ok(Restored::Extended(more.len() as u64)),
            Some(_) | None => Err(MemoryError::new(RESTORE, MemoryErrorKind::Conflict)),
        }
    }
}

impl From<&Entry> for ExportedEntry {
    fn from(entry: &Entry) -> Self {
        Self { seq: entry.seq, parent: entry.parent, entry: (*entry.body).clone() }
    }
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

#[cfg(test)]
mod tests {
    use super::{Document, ExportedEntry, ExportedSession, LastLine};
    use crate::{
        chat::Message,
        ids::{Seq, SessionId},
        json::RawJson,
        memory::{EntryBody, MemoryClass, Summary},
        time::Timestamp,
    };

    fn entry(seq: u64, parent: Option<u64>, text: &str) -> ExportedEntry {
        let entry = EntryBody::complete(Message::user(text), Timestamp::from_millis(1));
        ExportedEntry { seq: Seq(seq), parent: parent.map(Seq), entry }
    }

    #[test]
    fn the_exported_format_is_a_decision() {
        let full = ExportedSession {
            id: SessionId::new("a/b").unwrap(),
            title: Some("t".into()),
            has_default_title: true,
            metadata: Some(RawJson::parse(r#"{"n": 1.0}"#).unwrap()),
            system: Some("s".into()),
            model: Some("m".into()),
            recall: true,
            class: MemoryClass::Ephemeral,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(1),
            head: Some(Seq(2)),
            summaries: vec![Summary {
                at: Seq(1),
                text: "one".into(),
                model: Some("m".into()),
                created_at: Timestamp::from_millis(1),
            }],
            entries: vec![entry(1, None, "one"), entry(2, Some(1), "two")],
        };
        let empty = ExportedSession {
            title: None,
            has_default_title: false,
            metadata: None,
            system: None,
            model: None,
            recall: false,
            class: MemoryClass::Durable,
            head: None,
            summaries: Vec::new(),
            entries: Vec::new(),
            ..full.clone()
        };
        let end = serde_json::to_string(&LastLine::End { sessions: 2 }).unwrap();
        assert_eq!(end, r#"{"end":{"sessions":2}}"#);
        let document = Document::new(vec![full, empty]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
    }
}
