//! How commands end: where errors of all kinds become one failure with a code.

use std::{error::Error, io};

use brain_core::memory::{MemoryError, MemoryErrorKind};
use brain_tokio::Held;
use client_commands::{Code, Failure, INTERRUPTED};

use crate::config::Problems;

/// The failure that an error is.
pub(crate) fn failure(error: anyhow::Error) -> Failure {
    error.downcast::<Failure>().unwrap_or_else(|error| {
        let code = error.chain().find_map(code_of).unwrap_or(Code::Failed);
        Failure::caused_by(code, error)
    })
}

/// What a cause means, if it is one that we know.
fn code_of(cause: &(dyn Error + 'static)) -> Option<Code> {
    if cause.is::<Problems>() {
        return Some(Code::InvalidSettings);
    } else if cause.is::<Held>() {
        return Some(Code::DataFolderInUse);
    }
    if let Some(error) = cause.downcast_ref::<MemoryError>() {
        return Some(match error.kind() {
            MemoryErrorKind::Full => Code::DiskFull,
            MemoryErrorKind::Corrupt => Code::DamagedDatabase,
            MemoryErrorKind::Conflict
            | MemoryErrorKind::UnknownParent
            | MemoryErrorKind::InsideToolRound
            | MemoryErrorKind::Superseded
            | MemoryErrorKind::KeyReused
            | MemoryErrorKind::OutcomeUnknown
            | MemoryErrorKind::Unavailable
            | MemoryErrorKind::Overloaded { .. }
            | MemoryErrorKind::Expired
            | MemoryErrorKind::Backend => Code::DatabaseUnusable,
        });
    }
    cause.is::<io::Error>().then(|| Code::of_disk(cause, Code::IoError))
}

/// A database that cannot be opened, with what to do about it.
#[cfg(feature = "sqlite")]
pub(crate) fn of_database(error: &memory_sqlite::OpenError) -> Failure {
    use memory_sqlite::OpenError;
    let (code, advice) = match error {
        OpenError::Folder(_) | OpenError::Database { .. } => (Code::DatabaseUnusable, "; "),
        OpenError::Io { .. } => (Code::of_disk(error, Code::DatabaseUnusable), "; "),
        OpenError::NoFolder(_) => (Code::CannotWrite, "; make it, or "),
        OpenError::ReadOnly(_) => (Code::CannotWrite, "; allow it to, or "),
        OpenError::NotADatabase(_) => (Code::NotADatabase, "; move it away, or "),
        OpenError::Foreign(_) => (Code::ForeignDatabase, "; move it away, or "),
        OpenError::Newer { .. } => (Code::NewerDatabase, ", or "),
        OpenError::Full(_) | OpenError::NoRoom { .. } => (Code::DiskFull, ", or "),
        OpenError::Damaged(_) => (Code::DamagedDatabase, ", or "),
    };
    let advice = format!("{advice}set SQLITE_DB_PATH to another file");
    let failure = Failure::new(code, format!("{error}{advice}"));
    // What was done when it failed is said already.
    let cause =
        std::iter::successors(error.source(), |&it| it.source()).last().map(ToString::to_string);
    cause.into_iter().fold(failure, Failure::with_source)
}

/// Ends the process where Ctrl-C finds nothing to stop.
#[expect(clippy::disallowed_methods, clippy::exit, reason = "the main thread may hang")]
pub(crate) fn leave() {
    std::process::exit(INTERRUPTED.into());
}
