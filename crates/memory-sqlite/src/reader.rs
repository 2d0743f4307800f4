//! Pooled read-only connections, used on threads where blocking is allowed.

use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use brain_core::memory::{MemoryError, MemoryErrorKind};
use r2d2::{NopErrorHandler, Pool};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::{OpenError, SqliteConfig, error::Outcome, open::STATEMENTS};

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Reads; needs a tokio runtime around it.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    busy_timeout: Duration,
    pool: Pool<SqliteConnectionManager>,
    /// As many as there are connections, so that no thread waits for one.
    permits: Arc<Semaphore>,
}

impl Reader {
    /// Opens connections to the database that a writer has prepared, the first one at once.
    pub(crate) fn open(config: &SqliteConfig) -> Result<Self, OpenError> {
        let busy_timeout = config.busy_timeout;
        let manager = SqliteConnectionManager::file(&config.path).with_flags(FLAGS).with_init(
            move |connection| {
                connection.set_prepared_statement_cache_capacity(STATEMENTS);
                connection.busy_timeout(busy_timeout)
            },
        );
        let readers = NonZeroU32::new(config.readers).unwrap_or(NonZeroU32::MIN).get();
        let pool = Pool::builder()
            .max_size(readers)
            .min_idle(Some(1))
            .max_lifetime(None)
            .test_on_check_out(false)
            .connection_timeout(config.busy_timeout)
            .error_handler(Box::new(NopErrorHandler))
            .build(manager)
            .map_err(|source| OpenError::Database {
                path: config.path.clone(),
                source: source.into(),
            })?;
        let permits = usize::try_from(readers).unwrap_or(1);
        let (path, permits) = (config.path.clone(), Arc::new(Semaphore::new(permits)));
        Ok(Self { path, busy_timeout, pool, permits })
    }

    /// A connection that is not of the pool, for what takes long.
    pub(crate) fn apart(&self) -> Outcome<Connection> {
        let connection = Connection::open_with_flags(&self.path, FLAGS)?;
        connection.busy_timeout(self.busy_timeout)?;
        Ok(connection)
    }

    /// Does `work` on one state of the database.
    pub(crate) async fn run<T, F>(&self, operation: &'static str, work: F) -> Result<T, MemoryError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let unavailable = || MemoryError::new(operation, MemoryErrorKind::Unavailable);
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|error| unavailable().with_source(error))?;
        let pool = self.pool.clone();
        let done = tokio::task::spawn_blocking(move || {
            let connection = pool.get().map_err(|error| unavailable().with_source(error))?;
            let result = in_snapshot(&connection, work).map_err(|error| error.during(operation));
            drop(connection);
            drop(permit);
            result
        });
        done.await.unwrap_or_else(|error| Err(unavailable().with_source(error)))
    }
}

fn in_snapshot<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Outcome<T>,
) -> Outcome<T> {
    let snapshot = connection.unchecked_transaction()?;
    let result = work(&snapshot)?;
    snapshot.commit()?;
    Ok(result)
}
