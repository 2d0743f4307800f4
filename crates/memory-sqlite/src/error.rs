//! What goes wrong, and the one place where SQLite's codes become ours.

use std::{error::Error, io, path::PathBuf, sync::Arc};

use brain_core::{
    BoxError,
    memory::{MemoryError, MemoryErrorKind},
};
use rusqlite::{ErrorCode, ffi};

/// The database could not be opened; nothing on the disk was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path is a folder.
    #[error("`{path}` is a folder, not a file", path = .0.display())]
    Folder(PathBuf),
    /// The folder of the path does not exist.
    #[error("the folder of `{path}` does not exist", path = .0.display())]
    NoFolder(PathBuf),
    /// The file, or the folder in which its log must be written, is read-only.
    #[error("`{path}` is read-only; codexd must be able to write it", path = .0.display())]
    ReadOnly(PathBuf),
    /// The file is no SQLite database.
    #[error("`{path}` is not a database; it was left as it is", path = .0.display())]
    NotADatabase(PathBuf),
    /// The file is a SQLite database of another program.
    #[error("`{path}` is a database of another program; it was left as it is", path = .0.display())]
    Foreign(PathBuf),
    /// The file was written by a newer version.
    #[error(
        "`{path}` has schema version {found}, and this codexd knows versions up to {known}; \
         it was left as it is: use a newer codexd",
        path = .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest version that we know.
        known: u32,
    },
    /// There is no room left.
    #[error("there is no room left on the disk of `{path}`; make some", path = .0.display())]
    Full(PathBuf),
    /// There is too little room to bring the file up to date; nothing was begun.
    #[error(
        "`{path}` is of an earlier version, and bringing it up to date takes up to {} MiB on its disk, \
         which has {} MiB free; it was left as it is: make room",
        .needed.div_ceil(1 << 20), .free >> 20, path = .path.display()
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// How many bytes it may take beside what is there.
        needed: u64,
        /// How many are free.
        free: u64,
    },
    /// The operating system refused.
    #[error("`{path}` could not be opened", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is a database, but does not hold together.
    #[error(
        "`{path}` is damaged; put a backup in its place, or save what can be read with \
         `sqlite3 {path} .recover`",
        path = .0.display()
    )]
    Damaged(PathBuf),
    /// SQLite refused.
    #[error("the database `{path}` could not be opened", path = .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BoxError,
    },
}

/// Why a piece of work on a connection came to nothing.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The caller's assumptions do not hold.
    Refused(MemoryErrorKind),
    /// Stored data does not decode.
    Corrupt(Arc<dyn Error + Send + Sync>),
    /// A file of ours could not be written or read.
    File(Arc<io::Error>),
    /// SQLite failed.
    Sqlite(Arc<rusqlite::Error>),
    /// SQLite failed in the middle of a commit.
    Commit(Arc<rusqlite::Error>),
}

/// What a piece of work on a connection comes to.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<MemoryErrorKind> for Failure {
    fn from(kind: MemoryErrorKind) -> Self {
        Self::Refused(kind)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::File(Arc::new(error))
    }
}

impl Failure {
    pub(crate) fn corrupt(source: impl Into<BoxError>) -> Self {
        Self::Corrupt(Arc::from(source.into()))
    }

    /// The same, met while committing.
    pub(crate) fn in_commit(self) -> Self {
        match self {
            Self::Sqlite(error) => Self::Commit(error),
            other @ (Self::Refused(_) | Self::Corrupt(_) | Self::File(_) | Self::Commit(_)) => {
                other
            }
        }
    }

    pub(crate) fn kind(&self) -> MemoryErrorKind {
        match self {
            Self::Refused(kind) => *kind,
            Self::Corrupt(_) => MemoryErrorKind::Corrupt,
            Self::File(error) => kind_of_file(error),
            Self::Sqlite(error) => kind_of(error),
            Self::Commit(error) => match kind_of(error) {
                // The log may hold the transaction although the disk would not say so.
                MemoryErrorKind::Unavailable if !is_busy(error) => MemoryErrorKind::OutcomeUnknown,
                kind => kind,
            },
        }
    }

    /// Whether there was no room, or the disk did not do what it was asked for.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Corrupt(_) => false,
            Self::File(_) | Self::Sqlite(_) | Self::Commit(_) => matches!(
                self.kind(),
                MemoryErrorKind::Full
                    | MemoryErrorKind::Unavailable
                    | MemoryErrorKind::OutcomeUnknown
            ),
        }
    }

    /// The error of the port: `operation` failed by this.
    pub(crate) fn during(self, operation: &'static str) -> MemoryError {
        let error = MemoryError::new(operation, self.kind());
        match self {
            Self::Refused(_) => error,
            Self::Corrupt(source) => error.with_source(source),
            Self::File(source) => error.with_source(source),
            Self::Sqlite(source) | Self::Commit(source) => error.with_source(source),
        }
    }
}

/// Whether an error, or what led to it, is that there is no room left.
pub(crate) fn is_full(error: &(dyn Error + 'static)) -> bool {
    let sqlite = error.downcast_ref::<ffi::Error>();
    let full = sqlite.is_some_and(|it| {
        it.code == ErrorCode::DiskFull || it.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    });
    full || error.source().is_some_and(is_full)
}

/// Whether an error, or what led to it, is that the file does not hold together.
pub(crate) fn is_corrupt(error: &(dyn Error + 'static)) -> bool {
    let sqlite = error.downcast_ref::<ffi::Error>();
    sqlite.is_some_and(|it| kind_of_code(it.code) == MemoryErrorKind::Corrupt)
        || error.source().is_some_and(is_corrupt)
}

pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error_code()
        .is_some_and(|code| matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn kind_of_file(error: &io::Error) -> MemoryErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            MemoryErrorKind::Full
        }
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => MemoryErrorKind::Corrupt,
        _ => MemoryErrorKind::Unavailable,
    }
}

fn kind_of(error: &rusqlite::Error) -> MemoryErrorKind {
    match error {
        rusqlite::Error::SqliteFailure(error, _) => kind_of_code(error.code),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => MemoryErrorKind::Corrupt,
        _ => MemoryErrorKind::Backend,
    }
}

fn kind_of_code(code: ErrorCode) -> MemoryErrorKind {
    match code {
        ErrorCode::DiskFull => MemoryErrorKind::Full,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => MemoryErrorKind::Corrupt,
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::ReadOnly
        | ErrorCode::OutOfMemory
        | ErrorCode::FileLockingProtocolFailed => MemoryErrorKind::Unavailable,
        _ => MemoryErrorKind::Backend,
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, path::PathBuf};

    use brain_core::memory::MemoryErrorKind;
    use rusqlite::ffi;

    use super::{Failure, OpenError, is_corrupt, is_full};

    fn sqlite(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("the driver's words".into()))
    }

    #[test]
    fn codes_become_kinds() {
        for (code, kind) in [
            (ffi::SQLITE_FULL, MemoryErrorKind::Full),
            (ffi::SQLITE_BUSY, MemoryErrorKind::Unavailable),
            (ffi::SQLITE_IOERR, MemoryErrorKind::Unavailable),
            (ffi::SQLITE_CORRUPT, MemoryErrorKind::Corrupt),
            (ffi::SQLITE_CONSTRAINT, MemoryErrorKind::Backend),
        ] {
            assert_eq!(Failure::from(sqlite(code)).kind(), kind);
        }
    }

    #[test]
    fn a_damaged_file_is_told_from_other_trouble() {
        let found = |code| is_corrupt(&Failure::from(sqlite(code)).during("open"));
        assert!(found(ffi::SQLITE_CORRUPT) && found(ffi::SQLITE_NOTADB));
        assert!(!found(ffi::SQLITE_IOERR));
        assert!(is_full(&Failure::from(sqlite(ffi::SQLITE_FULL)).during("open")));
    }

    #[test]
    fn only_a_commit_that_broke_off_is_unknown() {
        let kind = |code| Failure::Commit(sqlite(code).into()).kind();
        assert_eq!(kind(ffi::SQLITE_IOERR_FSYNC), MemoryErrorKind::OutcomeUnknown);
        assert_eq!(kind(ffi::SQLITE_BUSY), MemoryErrorKind::Unavailable);
        assert_eq!(kind(ffi::SQLITE_FULL), MemoryErrorKind::Full);
    }

    #[test]
    fn texts_leave_their_source_to_the_chain() {
        let error = Failure::from(sqlite(ffi::SQLITE_IOERR)).during("append");
        assert!(!error.to_string().contains("driver"));
        assert!(error.source().unwrap().to_string().contains("driver"));
        let path = PathBuf::from("x.db");
        let error = OpenError::Database { path, source: Box::new(sqlite(ffi::SQLITE_IOERR)) };
        assert!(!error.to_string().contains("driver"));
        assert!(error.source().unwrap().to_string().contains("driver"));
    }
}
