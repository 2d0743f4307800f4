//! The contract of the port, on files that are synced and on files that are not.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use brain_core::ids::{Seq, SessionKey};
use brain_testkit::{ManualClock, memory::Fresh};
use futures_util::{FutureExt, future};
use memory_sqlite::{SqliteConfig, SqliteStore, Synchronous};
use rusqlite::Connection;

use crate::erase::files_with;

fn fresh(clock: Arc<ManualClock>, synchronous: Synchronous) -> Fresh {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let config = SqliteConfig { synchronous, ..SqliteConfig::new(&path) };
    let searched = folder.path().to_path_buf();
    Fresh::from(SqliteStore::open(&config, clock).unwrap())
        .keeping(folder)
        .with_damage(move |key, seq| {
            spoil(&path, &key, seq);
            future::ready(()).boxed()
        })
        .with_look(move |text| look(searched.clone(), text).boxed())
}

fn spoil(path: &Path, key: &SessionKey, seq: Seq) {
    let connection = Connection::open(path).unwrap();
    let sql = "UPDATE messages SET json = '{\"v\":1' WHERE seq = ?3 AND session = \
                   (SELECT id FROM sessions WHERE owner = ?1 AND name = ?2)";
    let seq = i64::try_from(seq.0).unwrap();
    let names = (key.owner.as_str().as_bytes(), key.id.as_str().as_bytes(), seq);
    assert_eq!(connection.execute(sql, names).unwrap(), 1);
}

async fn look(folder: PathBuf, text: String) -> bool {
    let start = Instant::now();
    while 0 < pending(&folder) {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing was erased");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    0 < files_with(&folder, &text)
}

fn pending(folder: &Path) -> u32 {
    let connection = Connection::open(folder.join("memory.db")).unwrap();
    let sql = "SELECT count(*) FROM tombstones WHERE 0 < pending";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

mod normal {
    use super::{Synchronous, fresh};

    brain_testkit::memory_store_suite!(async |clock| fresh(clock, Synchronous::Normal));
}

mod full {
    use super::{Synchronous, fresh};

    brain_testkit::memory_store_suite!(async |clock| fresh(clock, Synchronous::Full));
}
