//! The locks on the data folder and on the database, which may be elsewhere: one process has both
//! for itself, and others learn who that is.

use std::{
    fs,
    fs::{DirBuilder, File},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::{Path, PathBuf},
    process,
};

use brain_tokio::{Holder, LockError, take_lock};
use client_commands::{Code, Failure};

use crate::config::Config;

/// The data folder and the database, for this process alone.
#[derive(Debug)]
pub(crate) struct DataLock {
    card: PathBuf,
    database: Option<File>,
    _folder: File,
}

impl DataLock {
    /// Takes the folder, which is made if it is missing, and the database;
    /// [`brain_tokio::Held`] if another process has one of them.
    pub(crate) fn acquire(config: &Config) -> anyhow::Result<Self> {
        let data_dir = &config.data_dir;
        let card = data_dir.join("daemon.json");
        // Conversations are nobody else's business.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
        made.map_err(|error| {
            let advice = "set CODEXD_DATA_DIR to a place of yours";
            Failure::writing(format!("to {}; {advice}", data_dir.display()), error)
        })?;
        let what = format!("data folder {}", data_dir.display());
        let folder = take(&data_dir.join("daemon.lock"), &card, &what, "CODEXD_DATA_DIR")?;
        let database = config.database.as_ref().map(|database| {
            // One file may have two names.
            let mut lock = database.path.canonicalize().unwrap_or_else(|_| database.path.clone());
            let what = format!("database {}", lock.display());
            lock.as_mut_os_string().push(".lock");
            take(&lock, &lock, &what, "SQLITE_DB_PATH")
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
            .map_err(|error| Failure::writing(self.card.display(), error))?;
        Ok(())
    }
}

/// As [`take_lock`], with who has it as an error of its own.
fn take(path: &Path, card: &Path, what: &str, setting: &'static str) -> anyhow::Result<File> {
    take_lock(path, card, what, setting).map_err(|error| match error {
        LockError::Held(held) => held.into(),
        LockError::Io { .. } => {
            let code = Code::of_disk(&error, Code::CannotWrite);
            Failure::caused_by(code, error).into()
        }
    })
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Nobody believes the card without the lock.
        drop(fs::remove_file(&self.card));
    }
}
