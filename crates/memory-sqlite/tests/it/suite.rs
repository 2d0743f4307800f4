//! The contract of the port, on files that are synced and on files that are not.

use std::sync::Arc;

use brain_testkit::{ManualClock, memory::Fresh};
use memory_sqlite::{SqliteConfig, SqliteStore, Synchronous};

fn fresh(clock: Arc<ManualClock>, synchronous: Synchronous) -> Fresh {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let config = SqliteConfig { synchronous, ..SqliteConfig::new(path) };
    Fresh::from(SqliteStore::open(&config, clock).unwrap()).keeping(folder)
}

mod normal {
    use super::{Synchronous, fresh};

    brain_testkit::memory_store_suite!(async |clock| fresh(clock, Synchronous::Normal));
}

mod full {
    use super::{Synchronous, fresh};

    brain_testkit::memory_store_suite!(async |clock| fresh(clock, Synchronous::Full));
}
