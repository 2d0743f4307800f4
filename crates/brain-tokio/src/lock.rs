//! Locks between processes: a file that one process has for itself, and a card that says who.
//!
//! The locks are the operating system's, so that they end with their process however that ends.
//! What stands on a card is only believed while the lock is held.

use std::{
    fmt, fs,
    fs::{File, TryLockError},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Who has a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process; 0 if it is not known.
    pub pid: u32,
    /// Where it listens; `None` while it starts, or if it does not.
    pub address: Option<SocketAddr>,
}

/// Another process has what this one wants.
#[derive(Clone, Debug)]
pub struct Held {
    what: String,
    setting: &'static str,
    /// Who has it.
    pub holder: Holder,
}

/// A lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Held(Held),
    /// The file cannot be made or locked.
    Io {
        /// The file.
        path: PathBuf,
        /// The setting that names another place.
        setting: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl std::error::Error for Held {}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, setting, holder: Holder { pid, address } } = self;
        write!(f, "the {what} is in use by ")?;
        match pid {
            0 => f.write_str("another codexd")?,
            pid => write!(f, "the codexd with pid {pid} (`kill {pid}` stops it)")?,
        }
        if let Some(address) = address {
            write!(f, ", which listens on http://{address}; `codexd chat` speaks to that one")?;
        }
        write!(f, "; stop it, or set {setting} to another one")
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Held(_) => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(held) => held.fmt(f),
            Self::Io { path, setting, .. } => {
                write!(f, "cannot write to {}; set {setting} to a place of yours", path.display())
            }
        }
    }
}

/// Takes the lock `path` of `what`, until the file is closed; who has it if not we stands in
/// `card`. `setting` is what somebody sets to have another place.
///
/// # Errors
///
/// [`LockError::Held`] if another process has it, [`LockError::Io`] if the file cannot be made or
/// locked.
pub fn take_lock(
    path: &Path,
    card: &Path,
    what: &str,
    setting: &'static str,
) -> Result<File, LockError> {
    let failed = |source| LockError::Io { path: path.to_owned(), setting, source };
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read(card).ok().and_then(|it| serde_json::from_slice(&it).ok());
            let holder = holder.unwrap_or_default();
            Err(LockError::Held(Held { what: what.to_owned(), setting, holder }))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
