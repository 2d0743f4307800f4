//! Putting exported sessions into any store.

use std::{error::Error as _, pin::pin};

use futures_util::{Stream, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::{
    ExportedSession,
    note::{Notes, Skipped},
    reader::ImportItem,
    tree::TreeError,
};
use crate::{
    ids::{MAX_ID_BYTES, Owner, SessionId, SessionKey},
    memory::{MemoryError, MemoryErrorKind, MemoryStore, Restored},
};

/// Most new names that are tried for one session.
const MAX_NAMES: usize = 1000;
/// Most sessions that a report names one by one.
const MAX_NAMED: usize = 1000;
/// Why a session conflicts with a stored one.
const TAKEN: &str = "the session exists here with other content";

/// What to do with a session whose id is taken by another content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Leave it out and report it.
    #[default]
    Refuse,
    /// Call it `<id> (imported 2)`, or the next number that is free or has its content already.
    Rename,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Sessions that are new, the renamed ones included.
    pub created: u64,
    /// Sessions that were there in part.
    pub extended: u64,
    /// Sessions that were there already.
    pub unchanged: u64,
    /// Sessions that were left out.
    pub refused: Vec<Refused>,
    /// Sessions that got another id.
    pub renamed: Vec<Renamed>,
    /// How many more were left out or got another id than the first thousand of each, which are
    /// named.
    pub unnamed: u64,
    /// What was left out of the sessions that came in, or changed in them.
    pub skipped: Vec<Skipped>,
}

/// A session that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its id.
    pub id: SessionId,
    /// Why, for programs: the code of a [`MemoryErrorKind`], `turn_in_progress`,
    /// `session_too_large`, `metadata_too_large`, `extra_too_large`, `too_many_messages` or
    /// `unknown_format`; whoever imports may have more.
    pub code: &'static str,
    /// Why, for people.
    pub why: String,
}

/// A session that got another id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// Its id in the import.
    pub from: SessionId,
    /// Its id in the store.
    pub to: SessionId,
}

/// Restores sessions one by one, each all or nothing, and reports what became of them.
///
/// Importing the same again changes nothing.
///
/// # Errors
///
/// The first error of `sessions` or of the backend. What came before it stays; importing again is
/// safe. A session that cannot be restored is no error: it is [`ImportReport::refused`].
pub async fn import(
    store: &dyn MemoryStore,
    owner: &Owner,
    sessions: impl Stream<Item = Result<ExportedSession, MemoryError>> + Send,
    on_conflict: OnConflict,
) -> Result<ImportReport, MemoryError> {
    let mut importer = Importer::new(store, owner, on_conflict);
    let mut sessions = pin!(sessions);
    while let Some(session) = sessions.try_next().await? {
        importer.take(ImportItem::Session(Box::new(session), Notes::default())).await?;
    }
    Ok(importer.finish())
}

/// An import under way: takes what an [`ImportReader`](super::ImportReader) reads, and counts.
#[derive(Debug)]
pub struct Importer<'a> {
    store: &'a dyn MemoryStore,
    owner: &'a Owner,
    on_conflict: OnConflict,
    report: ImportReport,
    notes: Notes,
}

impl<'a> Importer<'a> {
    /// An import of nothing yet into the sessions of `owner`.
    #[must_use]
    pub fn new(store: &'a dyn MemoryStore, owner: &'a Owner, on_conflict: OnConflict) -> Self {
        let (report, notes) = Default::default();
        Self { store, owner, on_conflict, report, notes }
    }

    /// Restores one session, all or nothing, and counts what became of it.
    ///
    /// # Errors
    ///
    /// The backend's. A session that cannot be restored is no error: it is
    /// [`ImportReport::refused`].
    pub async fn take(&mut self, item: ImportItem) -> Result<(), MemoryError> {
        let (session, notes) = match item {
            ImportItem::Session(session, notes) => (session, notes),
            ImportItem::Nothing(notes) => {
                self.notes.merge(&notes);
                return Ok(());
            }
            ImportItem::Refused(refused) => {
                self.report.refuse(refused);
                return Ok(());
            }
        };
        match restore(self.store, self.owner, &session, self.on_conflict).await? {
            Fate::Restored(to, restored) => {
                self.report.note(session.id, to, restored);
                self.notes.merge(&notes);
            }
            Fate::Refused(refused) => self.report.refuse(refused),
        }
        Ok(())
    }

    /// What became of all that was taken.
    #[must_use]
    pub fn finish(self) -> ImportReport {
        ImportReport { skipped: self.notes.counted(), ..self.report }
    }
}

/// What became of a session.
enum Fate {
    Restored(SessionId, Restored),
    Refused(Refused),
}

/// Restores under the first name that is not taken by another content.
async fn restore(
    store: &dyn MemoryStore,
    owner: &Owner,
    session: &ExportedSession,
    on_conflict: OnConflict,
) -> Result<Fate, MemoryError> {
    let names = match on_conflict {
        OnConflict::Refuse => 1,
        OnConflict::Rename => MAX_NAMES,
    };
    let mut number = 1;
    loop {
        let id = name(&session.id, number);
        let key = SessionKey::new(owner.clone(), id.clone());
        let error = match store.restore(&key, session).await {
            Ok(restored) => return Ok(Fate::Restored(id, restored)),
            Err(error) if is_refusal(error.kind()) => error,
            Err(error) => return Err(error),
        };
        let is_taken = error.kind() == MemoryErrorKind::Conflict;
        if is_taken && has_open_turn(store, &key).await? {
            return Ok(Fate::Refused(Refused::in_turn(session.id.clone(), &id)));
        }
        if !is_taken || number == names {
            return Ok(Fate::Refused(Refused::because(session.id.clone(), &error)));
        }
        number += 1;
    }
}

/// Whether the session is one that nothing can be said of before its turn is over: what is there
/// may be what the import has.
async fn has_open_turn(store: &dyn MemoryStore, key: &SessionKey) -> Result<bool, MemoryError> {
    Ok(store.unfinished().await?.iter().any(|it| it.session == *key))
}

/// The id that a session is imported under at the attempt of this number, from 1.
fn name(id: &SessionId, number: usize) -> SessionId {
    if number == 1 {
        return id.clone();
    }
    let suffix = format!(" (imported {number})");
    let end = id.as_str().floor_char_boundary(MAX_ID_BYTES - suffix.len());
    let (start, _) = id.as_str().split_at(end);
    SessionId::new(format!("{start}{suffix}")).unwrap_or_else(|_| id.clone())
}

/// Whether the fault is the session's; all others are the backend's.
fn is_refusal(kind: MemoryErrorKind) -> bool {
    match kind {
        MemoryErrorKind::Conflict
        | MemoryErrorKind::UnknownParent
        | MemoryErrorKind::InsideToolRound
        | MemoryErrorKind::Corrupt => true,
        MemoryErrorKind::Superseded
        | MemoryErrorKind::KeyReused
        | MemoryErrorKind::OutcomeUnknown
        | MemoryErrorKind::Unavailable
        | MemoryErrorKind::Overloaded { .. }
        | MemoryErrorKind::Full
        | MemoryErrorKind::Expired
        | MemoryErrorKind::Backend => false,
    }
}

impl Refused {
    fn because(id: SessionId, error: &MemoryError) -> Self {
        let kind = error.kind();
        let fault = error.source().and_then(|it| it.downcast_ref::<TreeError>());
        let why = match (kind, fault) {
            (MemoryErrorKind::Conflict, _) => TAKEN.to_owned(),
            (_, Some(fault)) => fault.to_string(),
            (_, None) => kind.to_string(),
        };
        Self { id, code: kind.code(), why }
    }

    /// The session, or what `name` has become of it, is in use.
    fn in_turn(id: SessionId, name: &SessionId) -> Self {
        let why = format!("session `{name}` has a turn that is not over; import again after it");
        Self { id, code: "turn_in_progress", why }
    }
}

impl ImportReport {
    fn note(&mut self, from: SessionId, to: SessionId, restored: Restored) {
        match restored {
            Restored::Created => {
                self.created += 1;
                if from != to {
                    self.rename(Renamed { from, to });
                }
            }
            Restored::Extended(_) => self.extended += 1,
            Restored::Unchanged => self.unchanged += 1,
        }
    }

    fn rename(&mut self, renamed: Renamed) {
        if self.renamed.len() < MAX_NAMED {
            self.renamed.push(renamed);
        } else {
            self.unnamed += 1;
        }
    }

    fn refuse(&mut self, refused: Refused) {
        if self.refused.len() < MAX_NAMED {
            self.refused.push(refused);
        } else {
            self.unnamed += 1;
        }
    }
}
