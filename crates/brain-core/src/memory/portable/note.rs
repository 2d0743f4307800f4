//! What an import left out of sessions that came in, or changed in them; counted, for the report.
//!
//! Sessions that did not come in at all are [`Refused`](super::Refused).

use std::collections::BTreeMap;

use serde::Serialize;

/// Something that did not come in as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// A picture.
    Image,
    /// A recording.
    Audio,
    /// An uploaded file.
    Attachment,
    /// Content of a kind that we do not know.
    UnknownContent,
    /// A message of a role that we do not know.
    UnknownRole,
    /// A message that the source does not show.
    Hidden,
    /// A message without text.
    Empty,
    /// A session without messages.
    EmptySession,
    /// Half of a surrogate pair.
    Surrogate,
    /// A title that is too long.
    LongTitle,
    /// A message whose id another one has.
    DuplicateId,
    /// A message that follows one that is not there.
    MissingParent,
    /// A message that follows itself.
    Cycle,
    /// A session whose current message is not there.
    MissingHead,
}

impl Note {
    fn code(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Attachment => "attachment",
            Self::UnknownContent => "unknown_content",
            Self::UnknownRole => "unknown_role",
            Self::Hidden => "hidden",
            Self::Empty => "empty",
            Self::EmptySession => "empty_session",
            Self::Surrogate => "surrogate",
            Self::LongTitle => "long_title",
            Self::DuplicateId => "duplicate_id",
            Self::MissingParent => "missing_parent",
            Self::Cycle => "cycle",
            Self::MissingHead => "missing_head",
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Image => "pictures were left out: the export holds no pictures",
            Self::Audio => "recordings were left out: the export holds no recordings",
            Self::Attachment => "attached files were left out: the export holds no files",
            Self::UnknownContent => "content of an unknown kind was left out",
            Self::UnknownRole => "messages of an unknown role were left out",
            Self::Hidden => "messages that the source hides from people were left out",
            Self::Empty => "messages without text were left out",
            Self::EmptySession => "sessions without messages were left out",
            Self::Surrogate => "halves of surrogate pairs became U+FFFD",
            Self::LongTitle => "titles were cut",
            Self::DuplicateId => "messages whose id another one has were left out",
            Self::MissingParent => "messages that follow a missing one begin a branch",
            Self::Cycle => "messages that follow themselves begin a branch",
            Self::MissingHead => "sessions without a current message go on from their last one",
        }
    }
}

/// Notes by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(BTreeMap<Note, u64>);

impl Notes {
    pub(super) fn add(&mut self, note: Note) {
        self.add_many(note, 1);
    }

    pub(super) fn add_many(&mut self, note: Note, count: u64) {
        if 0 < count {
            *self.0.entry(note).or_default() += count;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(note, count)| self.add_many(*note, *count));
    }

    pub(super) fn counted(&self) -> Vec<Skipped> {
        let counted = |(note, count): (&Note, &u64)| Skipped {
            code: note.code(),
            count: *count,
            why: note.why(),
        };
        self.0.iter().map(counted).collect()
    }
}

/// How often something did not come in as it was, over all sessions that did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What it was: `image`, `hidden`, `missing_parent` …; stable.
    pub code: &'static str,
    /// How often.
    pub count: u64,
    /// What became of it, for people.
    pub why: &'static str,
}
