//! Where the database is and how it is used; not where these settings come from.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// It is on the disk: what was acknowledged survives a power failure.
    #[default]
    Full,
    /// It is with the operating system: what was acknowledged survives the process, and a power
    /// failure may take the last moments.
    Normal,
}

impl Synchronous {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// Where the database is and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The file; made if it is missing, its folder is not.
    pub path: PathBuf,
    /// When a commit counts as done.
    pub synchronous: Synchronous,
    /// Most reads at once; at least one.
    pub readers: u32,
    /// Most bytes that may wait to be written before more is refused.
    pub queue_bytes: usize,
    /// How long to wait for another process that holds the file.
    pub busy_timeout: Duration,
    /// The folder in which exports are laid aside while clients fetch them, in files that have no
    /// name; the database's own if there is none.
    pub spool: Option<PathBuf>,
}

impl SqliteConfig {
    /// The file at `path`, with settings that suit a daemon.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            synchronous: Synchronous::Full,
            readers: 4,
            queue_bytes: 16 << 20,
            busy_timeout: Duration::from_secs(5),
            spool: None,
        }
    }

    /// The folder of the database.
    pub(crate) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// The folder in which exports are laid aside.
    pub(crate) fn spool_folder(&self) -> PathBuf {
        self.spool.clone().unwrap_or_else(|| self.folder().to_path_buf())
    }
}
