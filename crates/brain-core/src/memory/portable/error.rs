//! Why an import cannot be read on, and where.
//!
//! A session that cannot come in by itself is no error but a [`Refused`](super::Refused).

use std::{fmt, io};

use super::{scan::Place, tree::TreeError};
use crate::{BoxError, ids::SessionId};

/// Why an import cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportErrorKind {
    /// It is not JSON.
    Syntax,
    /// It ends before it is whole.
    Truncated,
    /// It is JSON, but no export that we know, or one that does not hold together.
    Format,
    /// It is an export of ours of another version.
    Version,
    /// Its bytes cannot be read.
    Io,
}

/// An import cannot be read on from here.
#[derive(Debug)]
pub struct ImportError {
    kind: ImportErrorKind,
    what: String,
    place: Place,
    sessions: u64,
    no_tree: Option<Box<(SessionId, TreeError)>>,
    source: Option<BoxError>,
}

impl ImportError {
    pub(super) fn new(kind: ImportErrorKind, what: impl Into<String>, place: Place) -> Self {
        Self { kind, what: what.into(), place, sessions: 0, no_tree: None, source: None }
    }

    /// A session that is no tree.
    pub(super) fn tree(session: SessionId, fault: TreeError, place: Place) -> Self {
        let what = format!("session `{session}`: {fault}");
        let no_tree = Some(Box::new((session, fault)));
        Self { no_tree, ..Self::new(ImportErrorKind::Format, what, place) }
    }

    pub(super) fn io(error: io::Error, place: Place) -> Self {
        let what = "the bytes cannot be read";
        Self { source: Some(error.into()), ..Self::new(ImportErrorKind::Io, what, place) }
    }

    /// The same, after so many sessions.
    pub(super) fn after(self, sessions: u64) -> Self {
        Self { sessions, ..self }
    }

    /// What a caller can branch on.
    #[must_use]
    pub fn kind(&self) -> ImportErrorKind {
        self.kind
    }

    /// Where in the import.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// What is wrong there, for people.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// How many sessions were read whole before.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// The session that is no tree, and what is wrong with it; [`Self::what`] tells both.
    #[must_use]
    pub fn tree_error(&self) -> Option<(&SessionId, TreeError)> {
        self.no_tree.as_ref().map(|it| (&it.0, it.1))
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column, .. } = self.place;
        write!(f, "the import cannot be read at line {line}, column {column}: {}", self.what)?;
        if self.kind == ImportErrorKind::Truncated {
            let (sessions, s) = (self.sessions, if self.sessions == 1 { "" } else { "s" });
            write!(f, " ({sessions} whole session{s} before it)")?;
        }
        Ok(())
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|it| &**it as _)
    }
}
