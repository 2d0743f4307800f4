//! Bringing a database of an earlier version up to date: whether there is room for it, and what an
//! operator hears of it while it goes on.
//!
//! What a step does is said in the SQL files. All that are due run in one transaction: whatever ends
//! it leaves the database as it was.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::statvfs::statvfs;
use rusqlite::{Connection, TransactionBehavior};

use crate::{
    OpenError, SqliteConfig,
    schema::{COPIED_BEFORE, MIGRATIONS, VERSION},
};

/// What a step that copies the database takes beside it, in fourths of what that holds: the copy and
/// what it replaces stand in the log, then the copy in the file too, and there is more of an index.
const FOURTHS: u64 = 13;
/// What any upgrade may take in the log, in bytes.
const LEAST_ROOM: u64 = 1 << 20;
/// How often an operator hears that it goes on.
const OFTEN: Duration = Duration::from_secs(5);
/// How many instructions of SQLite pass between two looks at the time.
const INSTRUCTIONS: i32 = 1_000_000;

/// Runs the migrations that are due for a database of version `from`; 0 is a new one.
///
/// # Errors
///
/// [`OpenError::NoRoom`] before anything is changed, and whatever the database answers as `failed`
/// makes it.
pub(crate) fn migrate(
    config: &SqliteConfig,
    connection: &mut Connection,
    from: u32,
    failed: impl Fn(rusqlite_migration::Error) -> OpenError,
) -> Result<(), OpenError> {
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    let is_due = 0 < from && from < VERSION;
    if is_due {
        let needed = room_needed(connection, from).map_err(|it| failed(it.into()))?;
        check_room(config, needed)?;
        let (path, needed_mib) = (config.path.display().to_string(), needed >> 20);
        tracing::info!(path, from, to = VERSION, needed_mib, "the memory is being upgraded");
    }
    let start = Instant::now();
    // Another process may migrate between our look at the version and our transaction; then the
    // second attempt finds nothing left to do.
    MIGRATIONS
        .to_latest(connection)
        .or_else(|_| MIGRATIONS.to_latest(connection))
        .map_err(failed)?;
    if is_due {
        let seconds = start.elapsed().as_secs();
        tracing::info!(from, to = VERSION, seconds, "the memory is upgraded");
    }
    Ok(())
}

/// How many bytes on the disk an upgrade from this version may take beside what is there.
fn room_needed(connection: &Connection, from: u32) -> rusqlite::Result<u64> {
    if COPIED_BEFORE <= from {
        return Ok(LEAST_ROOM);
    }
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
    let bytes = u64::from(pages) * u64::from(number("page_size")?);
    Ok(LEAST_ROOM.saturating_add(bytes.saturating_mul(FOURTHS) / 4))
}

/// Refuses to begin where the disk is too small. One that does not say how large it is is tried.
fn check_room(config: &SqliteConfig, needed: u64) -> Result<(), OpenError> {
    let Ok(disk) = statvfs(config.folder()) else { return Ok(()) };
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    if needed <= free {
        return Ok(());
    }
    Err(OpenError::NoRoom { path: config.path.clone(), needed, free })
}

/// Tells an operator every few seconds that the connection still works on what makes it ready, until
/// [`ready`] is called.
///
/// # Errors
///
/// Those of the driver.
pub(crate) fn watch(config: &SqliteConfig, connection: &Connection) -> rusqlite::Result<()> {
    let mut progress = Progress::new(config, OFTEN);
    connection.progress_handler(
        INSTRUCTIONS,
        Some(move || {
            progress.look();
            false
        }),
    )
}

/// Ends what [`watch`] began.
///
/// # Errors
///
/// Those of the driver.
pub(crate) fn ready(connection: &Connection) -> rusqlite::Result<()> {
    connection.progress_handler(0, None::<fn() -> bool>)
}

/// How far an upgrade has come.
struct Progress {
    log: PathBuf,
    often: Duration,
    start: Instant,
    told: Instant,
}

impl Progress {
    fn new(config: &SqliteConfig, often: Duration) -> Self {
        let mut log = config.path.clone().into_os_string();
        log.push("-wal");
        let start = Instant::now();
        Self { log: log.into(), often, start, told: start }
    }

    fn look(&mut self) {
        if self.told.elapsed() < self.often {
            return;
        }
        self.told = Instant::now();
        let seconds = self.start.elapsed().as_secs();
        let written_mib = fs::metadata(&self.log).map_or(0, |it| it.len() >> 20);
        tracing::info!(
            seconds,
            written_mib,
            "the memory is still being upgraded; whatever interrupts it, it begins again"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use rusqlite::Connection;
    use tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Id, Record},
        subscriber::with_default,
    };

    use super::{LEAST_ROOM, Progress, check_room, migrate, room_needed};
    use crate::{
        OpenError, SqliteConfig,
        schema::{COPIED_BEFORE, MIGRATIONS, VERSION},
    };

    /// Keeps what is said.
    #[derive(Clone, Default)]
    struct Ear(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Ear {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut Words(self));
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    struct Words<'e>(&'e Ear);

    impl Visit for Words<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                self.0.0.lock().unwrap().push(format!("{value:?}"));
            }
        }
    }

    fn heard(work: impl FnOnce()) -> Vec<String> {
        let ear = Ear::default();
        with_default(ear.clone(), work);
        let words = ear.0.lock().unwrap();
        words.clone()
    }

    fn config(folder: &Path) -> SqliteConfig {
        SqliteConfig::new(folder.join("memory.db"))
    }

    fn of_version(folder: &Path, version: u32) -> Connection {
        let mut connection = Connection::open(folder.join("memory.db")).unwrap();
        MIGRATIONS.to_version(&mut connection, version as usize).unwrap();
        connection
    }

    #[test]
    fn an_upgrade_is_told_before_and_after() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let mut connection = of_version(folder.path(), VERSION - 1);
        let mut upgrade =
            |from| heard(|| migrate(&config, &mut connection, from, |it| panic!("{it}")).unwrap());
        let told = upgrade(VERSION - 1);
        assert_eq!(told, ["the memory is being upgraded", "the memory is upgraded"]);
        assert_eq!(upgrade(VERSION), [""; 0], "nothing was due");
        assert_eq!(upgrade(0), [""; 0], "it is a new one");
    }

    #[test]
    fn what_takes_long_is_told_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let look = |often| {
            let mut progress = Progress::new(&config(folder.path()), often);
            heard(|| progress.look())
        };
        assert_eq!(look(Duration::from_secs(3600)), [""; 0]);
        assert!(look(Duration::ZERO)[0].contains("still being upgraded"));
    }

    #[test]
    fn room_is_asked_for_by_what_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let connection = of_version(folder.path(), COPIED_BEFORE - 1);
        let bytes = std::fs::metadata(folder.path().join("memory.db")).unwrap().len();
        let needed = |from| room_needed(&connection, from).unwrap();
        assert_eq!(needed(COPIED_BEFORE - 1), LEAST_ROOM + bytes * 13 / 4);
        assert_eq!(needed(COPIED_BEFORE), LEAST_ROOM);
    }

    #[test]
    fn a_disk_that_is_too_small_is_named_with_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        check_room(&config, 1).unwrap();
        let error = check_room(&config, u64::MAX).unwrap_err();
        assert!(matches!(error, OpenError::NoRoom { needed: u64::MAX, .. }), "{error:?}");
        assert!(error.to_string().contains("MiB"), "{error}");
    }
}
