//! The store as a whole, on real files.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod crash;
mod crowded;
mod erase;
mod export;
mod lasting;
mod migrate;
mod model;
mod recall;
mod refuse;
mod settings;
mod suite;

use std::{path::Path, sync::Arc};

use brain_testkit::{
    ManualClock,
    say::{draft, key, say},
};
use memory_sqlite::{SqliteConfig, SqliteStore, Synchronous};

/// The database `memory.db` in `folder`, on a clock that stands still.
fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(&config(folder), Arc::new(ManualClock::new())).unwrap()
}

fn config(folder: &Path) -> SqliteConfig {
    SqliteConfig { synchronous: Synchronous::Normal, ..SqliteConfig::new(folder.join("memory.db")) }
}
