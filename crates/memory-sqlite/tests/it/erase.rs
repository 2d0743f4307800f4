//! Forgetting takes the bytes out of the files, or says that it could not yet.

use std::{fs, path::Path, sync::Arc};

use brain_core::memory::{Append, Expect, Forgotten, MemoryStore, SessionLog};
use brain_testkit::ManualClock;
use memory_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;

use crate::{config, draft, key, open, say};

const CANARY: &str = "the canary sings at midnight";

/// How many files of the folder hold the canary.
fn files_with_canary(folder: &Path) -> usize {
    let holds = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(CANARY.len()).any(|it| it == CANARY.as_bytes())
    };
    fs::read_dir(folder).unwrap().filter(|it| holds(&it.as_ref().unwrap().path())).count()
}

async fn fill(store: &SqliteStore) {
    let drafts: Vec<_> =
        (0..50).map(|n| draft(&format!("{CANARY} {n} {}", "x".repeat(9_000)))).collect();
    let append = Append { drafts, ..say("canary", None, Expect::Absent) };
    store.append(&key("secret"), append).await.unwrap();
    store.append(&key("other"), say("kept", None, Expect::Absent)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_forgotten_session_stays_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store).await;
    assert_ne!(files_with_canary(folder.path()), 0);
    let forgotten = store.forget(&key("secret")).await.unwrap();
    assert_eq!(forgotten, Forgotten { erased: 50, pending: 0 });
    assert_eq!(files_with_canary(folder.path()), 0);
    assert_eq!(store.forget(&key("secret")).await.unwrap(), Forgotten::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_past_makes_erasing_wait() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store).await;
    let reader = Connection::open(folder.path().join("memory.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    let forgotten = store.forget(&key("secret")).await.unwrap();
    assert_eq!(forgotten, Forgotten { erased: 50, pending: 50 });
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    let forgotten = store.forget(&key("other")).await.unwrap();
    assert_eq!(forgotten, Forgotten { erased: 1, pending: 0 });
    assert_eq!(files_with_canary(folder.path()), 0);
    store.health().await.unwrap();
}

/// A copy of a database in use is what a crash leaves.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_in_the_log_is_gone_after_opening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store).await;
    let reader = Connection::open(folder.path().join("memory.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    store.forget(&key("secret")).await.unwrap();
    let crashed = tempfile::tempdir().unwrap();
    for name in ["memory.db", "memory.db-wal"] {
        fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    assert_ne!(files_with_canary(crashed.path()), 0);
    let config: SqliteConfig = config(crashed.path());
    let again = SqliteStore::open(&config, Arc::new(ManualClock::new())).unwrap();
    assert_eq!(files_with_canary(crashed.path()), 0);
    again.health().await.unwrap();
}
