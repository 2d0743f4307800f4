//! The lock on the data folder: one process has it for itself, and others learn who that is.
//!
//! The lock is the operating system's, so that it ends with its process however that ends. What
//! stands in `daemon.json` is only believed while the lock is held.

use std::{
    fmt, fs,
    fs::{DirBuilder, File, TryLockError},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Who has a data folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// Where it listens; `None` while it starts, or if it does not.
    pub(crate) address: Option<SocketAddr>,
}

/// Another process has the data folder.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    data_dir: PathBuf,
    pub(crate) holder: Holder,
}

impl std::error::Error for Held {}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, pid) = (self.data_dir.display(), self.holder.pid);
        write!(f, "the data folder {folder} is in use by the codexd with pid {pid}")?;
        if let Some(address) = self.holder.address {
            write!(f, ", which listens on http://{address}; `codexd chat` speaks to that one")?;
        }
        write!(f, "; stop it (`kill {pid}`), or set CODEXD_DATA_DIR to another folder")
    }
}

/// The data folder, for this process alone.
#[derive(Debug)]
pub(crate) struct DataLock {
    card: PathBuf,
    _file: File,
}

impl DataLock {
    /// Takes the folder, which is made if it is missing; [`Held`] if another process has it.
    pub(crate) fn acquire(data_dir: &Path) -> anyhow::Result<Self> {
        let (path, card) = (data_dir.join("daemon.lock"), data_dir.join("daemon.json"));
        // Conversations are nobody else's business.
        let folder = DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
        let file = folder
            .and_then(|()| File::options().create(true).truncate(false).write(true).open(&path));
        let file = file.with_context(|| {
            let folder = data_dir.display();
            format!("cannot write to {folder}; set CODEXD_DATA_DIR to a folder of yours")
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&card).unwrap_or_default();
                return Err(Held { data_dir: data_dir.to_owned(), holder }.into());
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let lock = Self { card, _file: file };
        lock.publish(None)?;
        Ok(lock)
    }

    /// Tells others where this process listens.
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

fn holder(card: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(card).ok()?).ok()
}
