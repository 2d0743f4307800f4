//! The port on a writer and a reader; what happens in the database is said elsewhere.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use brain_core::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, Token, TurnId},
    memory::{
        Append, Appended, Branch, Catalog, Checkpoint, CloseTurn, Draft, Embedded, Entry,
        ExportPart, ExportedSession, Fence, Forgotten, Health, Hit, ListOptions,
        MemoryCapabilities, MemoryError, MemoryErrorKind, MemoryStore, NewSession, OpenTurn,
        Opened, Portable, ReadOptions, Recall, Restored, Search, Session, SessionLog, SessionPatch,
        Signals, Summary, TierHealth, TurnIndex, TurnRecord, Turns, Unembedded, Upkeep,
    },
    time::{Clock, Timestamp},
};
use futures_util::{
    future::{self, Either},
    stream::BoxStream,
};
use rusqlite::Connection;

use crate::{
    OpenError, SqliteConfig, catalog, error::Outcome, log, open, reader::Reader, recall, turns,
    writer::Writer,
};

/// How long a health check waits for its turn to write.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// Memory in one SQLite file.
///
/// Its futures need a tokio runtime around them. A process opens a file once at a time. Dropping
/// the store writes what was accepted, moves the log into the file, and waits for both.
pub struct SqliteStore {
    // Dropped before the writer, whose connection then is the last one and tidies up.
    reader: Reader,
    writer: Writer,
    clock: Arc<dyn Clock>,
}

impl SqliteStore {
    /// Opens the database, or makes it; leases and times of sessions are those of `clock`.
    ///
    /// Blocks: a few milliseconds, longer after a crash with a long log or when a migration has
    /// work to do, and at most the busy time-out for other processes.
    ///
    /// # Errors
    ///
    /// Whatever [`OpenError`] says; then nothing was changed.
    pub fn open(config: &SqliteConfig, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let connection = open::open(config, clock.now())?;
        let writer = Writer::start(connection, config.queue_bytes, config.busy_timeout)
            .map_err(|source| OpenError::Io { path: config.path.clone(), source })?;
        let reader = Reader::open(config)?;
        Ok(Self { reader, writer, clock })
    }

    /// Does `work` in the writer's transaction, with the time at which it is done.
    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        bytes: usize,
        mut work: impl FnMut(&Connection, Timestamp) -> Outcome<T> + Send + 'static,
    ) -> Result<T, MemoryError> {
        let clock = Arc::clone(&self.clock);
        self.writer.run(operation, bytes, move |connection| work(connection, clock.now())).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

/// How many bytes entries hold: each its JSON, and its text once more.
fn bytes(drafts: &[Draft]) -> usize {
    drafts.iter().map(|it| 2 * it.json().len()).sum()
}

#[async_trait]
impl SessionLog for SqliteStore {
    async fn append(&self, key: &SessionKey, append: Append) -> Result<Appended, MemoryError> {
        let key = key.clone();
        let bytes = bytes(&append.drafts);
        self.write("append to the session", bytes, move |connection, now| {
            log::append(connection, &key, &append, now)
        })
        .await
    }

    async fn read(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        let key = key.clone();
        let work = move |connection: &Connection| log::read(connection, &key, options);
        self.reader.run("read the session", work).await
    }

    async fn scan(
        &self,
        key: &SessionKey,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, MemoryError> {
        let key = key.clone();
        let work = move |connection: &Connection| log::scan(connection, &key, after, limit);
        self.reader.run("scan the session", work).await
    }

    async fn move_head(
        &self,
        key: &SessionKey,
        expect: Token,
        head: Option<Seq>,
    ) -> Result<Session, MemoryError> {
        let key = key.clone();
        self.write("move the head", 0, move |connection, now| {
            log::move_head(connection, &key, (expect, head), now)
        })
        .await
    }

    async fn forget(&self, key: &SessionKey) -> Result<Forgotten, MemoryError> {
        let key = key.clone();
        let flags = Arc::clone(self.writer.flags());
        let erased = self.writer.run("forget the session", 0, move |connection| {
            let erased = catalog::forget(connection, &key)?;
            if erased.is_some() {
                flags.ask_for_erasure();
            }
            Ok(erased)
        });
        let Some(erased) = erased.await? else { return Ok(Forgotten::default()) };
        let pending = if self.writer.flags().is_erasure_due() { erased } else { 0 };
        Ok(Forgotten { erased, pending })
    }

    async fn forget_entry(&self, _: &SessionKey, _: Seq) -> Result<Forgotten, MemoryError> {
        Err(MemoryError::new("forget the entry", MemoryErrorKind::Backend))
    }
}

#[async_trait]
impl Catalog for SqliteStore {
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError> {
        let key = key.clone();
        self.write("create the session", 0, move |connection, now| {
            catalog::create(connection, &key, &new, now)
        })
        .await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, MemoryError> {
        let key = key.clone();
        let work = move |connection: &Connection| {
            Ok(catalog::find(connection, &key)?.map(|stored| stored.session))
        };
        self.reader.run("read the session", work).await
    }

    async fn list(&self, owner: &Owner, options: ListOptions) -> Result<Vec<Session>, MemoryError> {
        let owner = owner.clone();
        let work = move |connection: &Connection| catalog::list(connection, &owner, &options);
        self.reader.run("list the sessions", work).await
    }

    async fn patch(
        &self,
        key: &SessionKey,
        patch: SessionPatch,
    ) -> Result<Option<Session>, MemoryError> {
        let key = key.clone();
        self.write("change the session", 0, move |connection, now| {
            catalog::patch(connection, &key, &patch, now)
        })
        .await
    }

    async fn keep_summary(&self, _: &SessionKey, _: Summary) -> Result<(), MemoryError> {
        Err(MemoryError::new("keep the summary", MemoryErrorKind::Backend))
    }

    async fn summaries(&self, _: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Portable for SqliteStore {
    async fn export(
        &self,
        _: &Owner,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError> {
        Err(MemoryError::new("export", MemoryErrorKind::Backend))
    }

    async fn restore(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        session.check_tree()?;
        let (key, session) = (key.clone(), session.clone());
        let drafts = session.entries.iter().map(|it| Draft::new(it.entry.clone()));
        let drafts: Vec<Draft> = drafts.collect::<Result<_, _>>()?;
        self.write("restore the session", bytes(&drafts), move |connection, _| {
            catalog::restore(connection, &key, &session, &drafts)
        })
        .await
    }
}

#[async_trait]
impl Recall for SqliteStore {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        let (owner, query, limit) = (owner.clone(), search.text.clone(), search.limit);
        let work = move |connection: &Connection| recall::search(connection, &owner, &query, limit);
        self.reader.run("search", work).await
    }

    async fn unembedded(&self, _: &str, _: usize) -> Result<Vec<Unembedded>, MemoryError> {
        Ok(Vec::new())
    }

    async fn keep_embeddings(&self, _: &str, _: Vec<Embedded>) -> Result<(), MemoryError> {
        Ok(())
    }
}

#[async_trait]
impl Turns for SqliteStore {
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        let bytes = bytes(&open.append.drafts) + open.request.as_str().len();
        self.write("open the turn", bytes, move |connection, now| {
            turns::open(connection, &open, now)
        })
        .await
    }

    async fn take(&self, fence: Fence, lease: Duration) -> Result<TurnRecord, MemoryError> {
        self.write("take the turn", 0, move |connection, now| {
            turns::take(connection, fence, lease, now)
        })
        .await
    }

    async fn renew(&self, fence: Fence, lease: Duration) -> Result<Signals, MemoryError> {
        self.write("renew the lease", 0, move |connection, now| {
            turns::renew(connection, fence, lease, now)
        })
        .await
    }

    async fn checkpoint(&self, fence: Fence, checkpoint: Checkpoint) -> Result<(), MemoryError> {
        let calls = checkpoint
            .calls
            .iter()
            .map(|it| it.call.arguments.len() + it.result.as_ref().map_or(0, String::len));
        let bytes = checkpoint.text.len() + checkpoint.reasoning.len() + calls.sum::<usize>();
        self.write("keep the checkpoint", bytes, move |connection, _| {
            turns::checkpoint(connection, fence, &checkpoint)
        })
        .await
    }

    async fn close(&self, close: CloseTurn) -> Result<TurnRecord, MemoryError> {
        let bytes = bytes(&close.append.drafts);
        self.write("end the turn", bytes, move |connection, now| {
            turns::close(connection, &close, now)
        })
        .await
    }
}

#[async_trait]
impl TurnIndex for SqliteStore {
    async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnRecord>, MemoryError> {
        let owner = owner.clone();
        let work = move |connection: &Connection| turns::of_owner(connection, &owner, turn);
        self.reader.run("read the turn", work).await
    }

    async fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let (owner, key, now) = (owner.clone(), key.clone(), self.clock.now());
        let work = move |connection: &Connection| turns::by_key(connection, &owner, &key, now);
        self.reader.run("find the turn", work).await
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let owner = owner.clone();
        self.write("cancel the turn", 0, move |connection, _| {
            turns::request_cancel(connection, &owner, turn)
        })
        .await
    }

    async fn unfinished(&self) -> Result<Vec<TurnRecord>, MemoryError> {
        self.reader.run("find unfinished turns", turns::unfinished).await
    }
}

#[async_trait]
impl Upkeep for SqliteStore {
    async fn idle_since(&self, _: Timestamp, _: usize) -> Result<Vec<SessionKey>, MemoryError> {
        Ok(Vec::new())
    }

    async fn prune_turns(&self, _: Timestamp) -> Result<u64, MemoryError> {
        Ok(0)
    }

    async fn unsettled(&self, _: usize) -> Result<Vec<SessionKey>, MemoryError> {
        Ok(Vec::new())
    }

    async fn settle(&self, _: &SessionKey) -> Result<(), MemoryError> {
        Ok(())
    }
}

#[async_trait]
impl MemoryStore for SqliteStore {
    fn capabilities(&self) -> MemoryCapabilities {
        MemoryCapabilities { durable: true, shared: false }
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        let probe = pin!(self.writer.probe());
        match future::select(probe, self.clock.sleep(HEALTH_PATIENCE)).await {
            Either::Left((result, _)) => result.map(|()| Health::of(TierHealth::well("sqlite"))),
            Either::Right(((), _)) => {
                Err(MemoryError::new("write in time", MemoryErrorKind::Unavailable))
            }
        }
    }
}
