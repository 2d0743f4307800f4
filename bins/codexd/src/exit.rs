//! How commands end: where errors of all kinds become one failure with a code.

use std::{error::Error, io};

use brain_core::memory::{MemoryError, MemoryErrorKind};
use brain_tokio::{Held, LockError};
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
            _ => Code::DatabaseUnusable,
        });
    }
    if let Some(LockError::Io { source, .. }) = cause.downcast_ref() {
        return Some(of_disk(source, Code::CannotWrite));
    }
    cause.downcast_ref().map(|error| of_disk(error, Code::IoError))
}

fn of_disk(error: &io::Error, usual: Code) -> Code {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if is_full { Code::DiskFull } else { usual }
}

/// A database that cannot be opened, with what to do about it.
#[cfg(feature = "sqlite")]
pub(crate) fn of_database(error: memory_sqlite::OpenError) -> Failure {
    use memory_sqlite::OpenError;
    let another = "set SQLITE_DB_PATH to another file";
    let (code, advice) = match &error {
        OpenError::Folder(_) => (Code::DatabaseUnusable, another.to_owned()),
        OpenError::NoFolder(_) => (Code::CannotWrite, format!("make it, or {another}")),
        OpenError::ReadOnly(_) => (Code::CannotWrite, format!("give it that right, or {another}")),
        OpenError::NotADatabase(_) => (Code::NotADatabase, format!("move it away, or {another}")),
        OpenError::Foreign(_) => (Code::ForeignDatabase, another.to_owned()),
        OpenError::Newer { .. } => (Code::NewerDatabase, format!("or {another}")),
        OpenError::Full(_) => (Code::DiskFull, format!("or {another}")),
        OpenError::Damaged(_) => (Code::DamagedDatabase, format!("or {another}")),
        OpenError::Io { source, .. } => {
            (of_disk(source, Code::DatabaseUnusable), another.to_owned())
        }
        OpenError::Database { .. } => (Code::DatabaseUnusable, another.to_owned()),
    };
    let failure = Failure::new(code, format!("{error}; {advice}"));
    let mut source = error.source();
    // What was done when it failed is said already.
    while let Some(next) = source.and_then(Error::source) {
        source = Some(next);
    }
    match source.map(ToString::to_string) {
        Some(cause) => failure.with_source(cause),
        None => failure,
    }
}

/// Ends the process where Ctrl-C finds nothing to stop.
#[expect(clippy::disallowed_methods, clippy::exit, reason = "the main thread may hang")]
pub(crate) fn leave() {
    std::process::exit(INTERRUPTED.into());
}
