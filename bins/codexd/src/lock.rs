//! The locks on the data folder and on the database, which may be elsewhere: one process has both
//! for itself, and others learn who that is.
//!
//! The locks are the operating system's, so that they end with their process however that ends.
//! What stands in `daemon.json` and in the database's lock is only believed while they are held.

use std::{
    fmt, fs,
    fs::{DirBuilder, File, TryLockError},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::{Path, PathBuf},
    process,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// Who has a data folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// Where it listens; `None` while it starts, or if it does not.
    pub(crate) address: Option<SocketAddr>,
}

/// Another process has the data folder, or the database.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    what: String,
    setting: &'static str,
    pub(crate) holder: Holder,
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

/// The data folder and the database, for this process alone.
#[derive(Debug)]
pub(crate) struct DataLock {
    card: PathBuf,
    database: Option<File>,
    _folder: File,
}

impl DataLock {
    /// Takes the folder, which is made if it is missing, and the database; [`Held`] if another
    /// process has one of them.
    pub(crate) fn acquire(config: &Config) -> anyhow::Result<Self> {
        let data_dir = &config.data_dir;
        let card = data_dir.join("daemon.json");
        // Conversations are nobody else's business.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
        made.with_context(|| cannot_write(data_dir, "CODEXD_DATA_DIR"))?;
        let what = format!("data folder {}", data_dir.display());
        let folder = take(&data_dir.join("daemon.lock"), &card, what, "CODEXD_DATA_DIR")?;
        let database = config.database.as_ref().map(|database| {
            // One file may have two names.
            let mut lock = database.path.canonicalize().unwrap_or_else(|_| database.path.clone());
            let what = format!("database {}", lock.display());
            lock.as_mut_os_string().push(".lock");
            take(&lock, &lock, what, "SQLITE_DB_PATH")
        });
        let lock = Self { card, database: database.transpose()?, _folder: folder };
        lock.publish(None)?;
        Ok(lock)
    }

    /// Tells others where this process listens.
    pub(crate) fn publish(&self, address: Option<SocketAddr>) -> anyhow::Result<()> {
        let holder = serde_json::to_vec(&Holder { pid: process::id(), address })?;
        let temporary = self.card.with_extension("json.new");
        let in_database = self.database.as_ref().map_or(Ok(()), |lock| {
            lock.set_len(0)?;
            lock.write_all_at(&holder, 0)
        });
        in_database
            .and_then(|()| fs::write(&temporary, &holder))
            .and_then(|()| fs::rename(&temporary, &self.card))
            .with_context(|| format!("cannot write {}", self.card.display()))
    }
}

/// Takes the lock `path`; who has it if not we stands in `card`.
pub(crate) fn take(
    path: &Path,
    card: &Path,
    what: String,
    setting: &'static str,
) -> anyhow::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| cannot_write(path, setting))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read(card).ok().and_then(|it| serde_json::from_slice(&it).ok());
            Err(Held { what, setting, holder: holder.unwrap_or_default() }.into())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn cannot_write(path: &Path, setting: &str) -> String {
    format!("cannot write to {}; set {setting} to a place of yours", path.display())
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Nobody believes the card without the lock.
        drop(fs::remove_file(&self.card));
    }
}
