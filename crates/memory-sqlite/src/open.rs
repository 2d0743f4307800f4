//! Opening the file: what is not ours is refused untouched, what is ours is brought up to date.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use brain_core::{ids::DatabaseId, time::Timestamp};
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{
    OpenError, SqliteConfig,
    error::{is_busy, is_corrupt, is_full},
    hidden, recall,
    schema::{APPLICATION_ID, VERSION},
    upgrade,
};

/// The log shrinks to this after a checkpoint.
const LOG_BYTES: u32 = 16 << 20;

/// Pages in the log at which it is moved into the file: the fewer moves, the fewer trips to the disk.
const LOG_PAGES: u32 = 4_000;

/// How many statements a connection keeps compiled; we have fewer.
pub(crate) const STATEMENTS: usize = 64;

/// A connection that writes, on a database with the newest schema.
///
/// # Errors
///
/// Whatever [`OpenError`] says.
pub(crate) fn open(config: &SqliteConfig, now: Timestamp) -> Result<Connection, OpenError> {
    check_file(config)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = |source: rusqlite::Error| database_error(config, source);
    let mut connection = Connection::open_with_flags(&config.path, flags).map_err(database)?;
    connection.busy_timeout(config.busy_timeout).map_err(database)?;
    // Until we know that the schema is ours, closing must not move the log into the file.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(database)?;
    let version = user_version(&connection).map_err(database)?;
    check_version(config, version)?;
    // Also what a migration deletes is overwritten.
    connection.pragma_update(None, "secure_delete", true).map_err(database)?;
    upgrade::watch(config, &connection).map_err(database)?;
    let failed = |error| database_error(config, error);
    upgrade::migrate(config, &mut connection, version, failed)?;
    prepare(config, &connection, now).map_err(database)?;
    recall::bring_up_to_date(&connection)
        .map_err(|failure| database_error(config, failure.during("index the memory")))?;
    upgrade::ready(&connection).map_err(database)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(database)?;
    Ok(connection)
}

fn database_error(config: &SqliteConfig, source: impl Error + Send + Sync + 'static) -> OpenError {
    let path = config.path.clone();
    if is_full(&source) {
        OpenError::Full(path)
    } else if is_corrupt(&source) {
        OpenError::Damaged(path)
    } else {
        OpenError::Database { path, source: source.into() }
    }
}

/// Looks at the file's own bytes: SQLite would already leave traces beside it.
///
/// Closing a file takes the locks along that this process has on it (POSIX), so that this must not
/// happen while a store on the same file is open.
fn check_file(config: &SqliteConfig) -> Result<(), OpenError> {
    let (path, folder) = (config.path.as_path(), config.folder());
    let path_buf = || path.to_path_buf();
    match fs::metadata(folder) {
        Ok(metadata) if metadata.permissions().readonly() => {
            return Err(OpenError::ReadOnly(folder.to_path_buf()));
        }
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(OpenError::NoFolder(path_buf())),
        Err(error) => return Err(io_error(path, error)),
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(OpenError::Folder(path_buf())),
        Ok(metadata) if metadata.permissions().readonly() => Err(OpenError::ReadOnly(path_buf())),
        Ok(_) => check_header(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error(path, error)),
    }
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::NotFound => OpenError::NoFolder(path),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::ReadOnly(path)
        }
        _ => OpenError::Io { path, source },
    }
}

fn check_header(path: &Path) -> Result<(), OpenError> {
    let open = OpenOptions::new().read(true).write(true).open(path);
    let mut header = Vec::with_capacity(100);
    open.and_then(|file: File| file.take(100).read_to_end(&mut header))
        .map_err(|error| io_error(path, error))?;
    if header.is_empty() {
        return Ok(());
    }
    let number = |at: usize| {
        header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
    };
    if !header.starts_with(b"SQLite format 3\0") || header.len() < 100 {
        return Err(OpenError::NotADatabase(path.to_path_buf()));
    }
    if number(68) != Some(APPLICATION_ID) {
        return Err(OpenError::Foreign(path.to_path_buf()));
    }
    match number(60) {
        Some(found) if VERSION < found => Err(newer(path, found)),
        _ => Ok(()),
    }
}

fn newer(path: &Path, found: u32) -> OpenError {
    OpenError::Newer { path: path.to_path_buf(), found, known: VERSION }
}

fn user_version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The header may lag behind the log, so that the version is asked for once more.
fn check_version(config: &SqliteConfig, found: u32) -> Result<(), OpenError> {
    if found <= VERSION { Ok(()) } else { Err(newer(&config.path, found)) }
}

fn prepare(config: &SqliteConfig, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    switch_to_log(connection, config.busy_timeout)?;
    connection.pragma_update(None, "synchronous", config.synchronous.as_str())?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What a savepoint may need again, copies of whole pages, stays out of files of its own.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    recall::prepare(connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let sql = "INSERT OR IGNORE INTO metadata (key, value) VALUES ('created_at', ?1)";
    connection.execute(sql, [now.to_string()])?;
    let sql = "INSERT OR IGNORE INTO metadata (key, value) VALUES ('database_id', ?1)";
    connection.execute(sql, [DatabaseId::random().to_string()])?;
    hidden::doom_all(connection)?;
    // What a predecessor erased may still stand in the log that it left.
    if let Err(error) = truncate_log(connection, Duration::ZERO) {
        tracing::warn!(%error, "the log of the memory could not be emptied");
    }
    connection.busy_timeout(config.busy_timeout)
}

/// Which database this is; the same one after a migration, and so is a copy of its file.
///
/// # Errors
///
/// [`OpenError::Damaged`] when what stands there is no id, and those of the database.
pub(crate) fn database_id(
    config: &SqliteConfig,
    connection: &Connection,
) -> Result<DatabaseId, OpenError> {
    let sql = "SELECT value FROM metadata WHERE key = 'database_id'";
    let id: String = connection
        .query_row(sql, [], |row| row.get(0))
        .map_err(|source| database_error(config, source))?;
    DatabaseId::parse(&id).ok_or_else(|| OpenError::Damaged(config.path.clone()))
}

/// Turns the write-ahead log on; SQLite does not always wait for others that look at the file.
fn switch_to_log(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let start = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if is_busy(&error) && start.elapsed() < patience => {
                thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Moves the log into the file and empties it; `false` if readers of an older state forbid it.
///
/// Leaves the connection with a busy time-out of `patience`.
pub(crate) fn truncate_log(connection: &Connection, patience: Duration) -> rusqlite::Result<bool> {
    connection.busy_timeout(patience)?;
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    match connection.query_row(sql, [], |row| row.get::<_, bool>(0)) {
        Ok(blocked) => Ok(!blocked),
        Err(error) if is_busy(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
