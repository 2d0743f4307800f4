//! What is not ours is refused, and left as it is.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use brain_testkit::ManualClock;
use memory_sqlite::{OpenError, SqliteConfig, SqliteStore};
use rusqlite::Connection;

fn refusal(path: &Path) -> OpenError {
    let clock = Arc::new(ManualClock::new());
    SqliteStore::open(&SqliteConfig::new(path), clock).unwrap_err()
}

/// All files of a folder with their bytes.
fn contents(folder: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap());
    files.map(|it| (it.file_name(), fs::read(it.path()).unwrap_or_default())).collect()
}

/// Lets `prepare` make a file, and checks that it is refused as `expected` and nothing changes.
fn check(prepare: impl FnOnce(&Path), expected: impl FnOnce(&OpenError) -> bool, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    prepare(&path);
    let before = contents(folder.path());
    let error = refusal(&path);
    assert!(expected(&error), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(contents(folder.path()), before);
}

fn ours(path: &Path) {
    SqliteStore::open(&SqliteConfig::new(path), Arc::new(ManualClock::new())).unwrap();
}

#[test]
fn a_file_that_is_no_database() {
    let is_it = |error: &OpenError| matches!(error, OpenError::NotADatabase(_));
    check(|path| fs::write(path, "hello").unwrap(), is_it, "is not a database");
    check(|path| fs::write(path, vec![7; 100_000]).unwrap(), is_it, "is not a database");
    check(|path| fs::write(path, "SQLite format 3\0").unwrap(), is_it, "is not a database");
}

#[test]
fn a_database_of_another_program() {
    let foreign = |sql: &'static str| {
        move |path: &Path| Connection::open(path).unwrap().execute_batch(sql).unwrap()
    };
    let is_it = |error: &OpenError| matches!(error, OpenError::Foreign(_));
    check(foreign("CREATE TABLE sessions (id)"), is_it, "another program");
    check(foreign("PRAGMA journal_mode = WAL; CREATE TABLE t (id)"), is_it, "another program");
    check(foreign("PRAGMA application_id = 7; CREATE TABLE t (id)"), is_it, "another program");
}

#[test]
fn a_newer_schema() {
    let newer = |path: &Path| {
        ours(path);
        Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    };
    check(newer, |error| matches!(error, OpenError::Newer { found: 99, .. }), "newer codexd");
}

#[test]
fn a_newer_schema_that_only_the_log_tells_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    ours(&path);
    // A copy of a database in use is what a crash leaves.
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let crashed = tempfile::tempdir().unwrap();
    for name in ["memory.db", "memory.db-wal"] {
        fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let read = |name: &str| fs::read(crashed.path().join(name)).unwrap();
    let before = (read("memory.db"), read("memory.db-wal"));
    let error = refusal(&crashed.path().join("memory.db"));
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
    assert_eq!((read("memory.db"), read("memory.db-wal")), before);
}

#[test]
fn a_read_only_file_or_folder() {
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let is_it = |error: &OpenError| matches!(error, OpenError::ReadOnly(_));
    let file = |path: &Path| {
        ours(path);
        chmod(path, 0o444);
    };
    check(file, is_it, "read-only");

    let folder = tempfile::tempdir().unwrap();
    chmod(folder.path(), 0o555);
    let error = refusal(&folder.path().join("memory.db"));
    chmod(folder.path(), 0o755);
    assert!(is_it(&error), "{error:?}");
    assert!(contents(folder.path()).is_empty());
}

#[test]
fn a_folder_and_a_missing_one() {
    let is_folder = |error: &OpenError| matches!(error, OpenError::Folder(_));
    check(|path| fs::create_dir(path).unwrap(), is_folder, "is a folder");
    let missing = PathBuf::from("/nonexistent/deep/memory.db");
    assert!(matches!(refusal(&missing), OpenError::NoFolder(_)));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = refusal(&folder.path().join("file/memory.db"));
    assert!(matches!(error, OpenError::NoFolder(_)), "{error:?}");
}

#[test]
fn an_empty_file_becomes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    fs::write(&path, "").unwrap();
    ours(&path);
    ours(&path);
}
