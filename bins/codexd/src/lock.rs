//! The lock on the data folder: one process has it for itself, and others learn who that is.
//!
//! The lock is the operating system's, so that it ends with its process however that ends. What
//! stands in `daemon.json` is only believed while the lock is held.

use std::{
    fmt, fs,
    fs::{File, TryLockError},
    net::SocketAddr,
    path::{Path, PathBuf},
    process,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Who has a data folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The process.
    pub(crate) pid: u32,
    /// Where it listens; `None` while it starts, or if it does not.
    pub(crate) address: Option<SocketAddr>,
}

/// Another process has the data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The folder.
    pub(crate) data_dir: PathBuf,
    /// Who has it, if that can be told.
    pub(crate) holder: Option<Holder>,
}

impl std::error::Error for Held {}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.data_dir.display();
        match &self.holder {
            Some(Holder { pid, address: Some(address) }) => write!(
                f,
                "the data folder {folder} is in use by the codexd with pid {pid}, which listens on http://{address}; \
                 use that one (`codexd chat` finds it), stop it (`kill {pid}`), or set CODEXD_DATA_DIR to another \
                 folder"
            ),
            Some(Holder { pid, address: None }) => write!(
                f,
                "the data folder {folder} is in use by the codexd with pid {pid}; wait for it, or set CODEXD_DATA_DIR \
                 to another folder"
            ),
            None => write!(f, "the data folder {folder} is in use by another process"),
        }
    }
}

/// The data folder, for this process alone.
#[derive(Debug)]
pub(crate) struct DataLock {
    card: PathBuf,
    _file: File,
}

impl DataLock {
    /// Takes the folder, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// [`Held`] if another process has it; else when the folder cannot be written.
    pub(crate) fn acquire(data_dir: &Path) -> anyhow::Result<Self> {
        let folder = data_dir.display();
        fs::create_dir_all(data_dir).with_context(|| {
            format!("cannot make the data folder {folder}; set CODEXD_DATA_DIR to one that you may write to")
        })?;
        let path = data_dir.join("daemon.lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| {
            format!("cannot write to the data folder {folder}; set CODEXD_DATA_DIR to one that you may write to")
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Held { data_dir: data_dir.to_owned(), holder: holder(data_dir) }.into());
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let lock = Self { card: card(data_dir), _file: file };
        lock.publish(None)?;
        Ok(lock)
    }

    /// Tells others where this process listens.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub(crate) fn publish(&self, address: Option<SocketAddr>) -> anyhow::Result<()> {
        let holder = Holder { pid: process::id(), address };
        let temporary = self.card.with_extension("json.new");
        fs::write(&temporary, serde_json::to_vec(&holder)?)
            .and_then(|()| fs::rename(&temporary, &self.card))
            .with_context(|| format!("cannot write {}", self.card.display()))
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Nobody believes the card without the lock.
        drop(fs::remove_file(&self.card));
    }
}

/// Who has the folder, as it says; believe it only while the lock is held.
#[must_use]
pub(crate) fn holder(data_dir: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(card(data_dir)).ok()?).ok()
}

fn card(data_dir: &Path) -> PathBuf {
    data_dir.join("daemon.json")
}
