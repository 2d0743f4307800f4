//! The port on a writer and a reader; what happens in the database is said elsewhere.

mod configuration;
mod portable;
mod turns;
mod upkeep;

use std::{fmt, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use brain_core::{
    ids::{DatabaseId, Owner, Seq, SessionKey, Token},
    json::RawJson,
    memory::{
        Append, Appended, Branch, Catalog, Draft, Edition, Embedded, Entry, Forget, Forgotten,
        Health, Hit, ListOptions, MemoryCapabilities, MemoryError, MemoryErrorKind, MemoryStore,
        NewSession, ReadOptions, Recall, Search, Session, SessionLog, SessionPatch, Summary,
        TierHealth, Unembedded,
    },
    time::{Clock, Timestamp},
};
use futures_util::future::{self, Either};
use rusqlite::Connection;
use tokio::task;

use crate::{
    OpenError, SqliteConfig, Synchronous, catalog,
    erasure::{Erasure, Told},
    error::Outcome,
    export::Exports,
    log::{self, Ready},
    open,
    reader::Reader,
    recall, summaries, tombstones,
    writer::Writer,
};

/// How long a health check waits for its turn to write.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// Entries of more bytes than these together take long to take apart.
const LONG_BYTES: usize = 16 << 10;

/// Memory in one SQLite file.
///
/// Its futures need a tokio runtime around them. A process opens a file once at a time. Dropping
/// the store writes what was accepted, moves the log into the file, and waits for both.
pub struct SqliteStore {
    // Dropped before the writer, whose connection then is the last one and tidies up.
    reader: Reader,
    writer: Writer,
    erased: Told,
    exports: Exports,
    /// Where exports are laid aside.
    spool_folder: PathBuf,
    synchronous: Synchronous,
    id: DatabaseId,
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
        let id = open::database_id(config, &connection)?;
        let (erasure, erased) = Erasure::new(config.busy_timeout);
        let writer = Writer::start(connection, config.queue_bytes, erasure)
            .map_err(|source| OpenError::Io { path: config.path.clone(), source })?;
        Ok(Self {
            reader: Reader::open(config)?,
            writer,
            erased,
            exports: Exports::new(),
            spool_folder: config.spool_folder(),
            synchronous: config.synchronous,
            id,
            clock,
        })
    }

    /// Which database this is.
    #[must_use]
    pub fn database_id(&self) -> DatabaseId {
        self.id
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

    /// Does `work`, which forgets so many entries of the session, and waits until they are erased
    /// or have to wait for something.
    async fn erase(
        &self,
        operation: &'static str,
        key: &SessionKey,
        mut work: impl FnMut(&Connection, &SessionKey, Timestamp) -> Outcome<u64> + Send + 'static,
    ) -> Result<Forgotten, MemoryError> {
        let (session, told) = (key.clone(), self.erased.clone());
        let flags = Arc::clone(self.writer.flags());
        let done = self.write(operation, 0, move |connection, now| {
            let erased = work(connection, &session, now)?;
            let pending = tombstones::pending(connection, &session)?;
            if 0 < pending {
                flags.ask_for_chores();
            }
            Ok((erased, pending, told.times()))
        });
        let (erased, mut pending, times) = done.await?;
        if 0 < pending {
            self.erased.more_than(times).await;
            let key = key.clone();
            let work = move |connection: &Connection| tombstones::pending(connection, &key);
            // What was forgotten stays forgotten when this cannot be told.
            pending = self.reader.run(operation, work).await.unwrap_or(pending);
        }
        Ok(Forgotten { erased, pending })
    }
}

impl SqliteStore {
    fn tier(&self) -> TierHealth {
        let note = match self.synchronous {
            Synchronous::Full => "synchronous FULL: what it acknowledged survives a power failure",
            Synchronous::Normal => {
                "synchronous NORMAL: a power failure may take the last moments of what it acknowledged"
            }
        };
        TierHealth { note: Some(note.to_owned()), ..TierHealth::well("sqlite") }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

/// Something that appends these entries, taken apart for search: where blocking is allowed, if that
/// takes long.
async fn ready<T: Send + 'static>(
    operation: &'static str,
    what: T,
    drafts: fn(&T) -> &[Draft],
) -> Result<Ready<T>, MemoryError> {
    let is_long = LONG_BYTES < drafts(&what).iter().map(|it| it.json().len()).sum();
    let work = move || Ready { documents: recall::documents(drafts(&what)), what };
    if !is_long {
        return Ok(work());
    }
    let unavailable = MemoryErrorKind::Unavailable;
    let done = task::spawn_blocking(work).await;
    done.map_err(|error| MemoryError::new(operation, unavailable).with_source(error))
}

/// How many bytes entries hold: each its JSON, and its text once more.
fn bytes(drafts: &[Draft]) -> usize {
    drafts.iter().map(|it| 2 * it.json().len()).sum()
}

/// How many bytes texts and metadata hold.
fn words(texts: &[&Option<String>], metadata: Option<&RawJson>) -> usize {
    let texts = texts.iter().filter_map(|it| it.as_ref()).map(String::len);
    texts.sum::<usize>() + metadata.map_or(0, |it| it.as_str().len())
}

#[async_trait]
impl SessionLog for SqliteStore {
    async fn append(&self, key: &SessionKey, append: Append) -> Result<Appended, MemoryError> {
        const OPERATION: &str = "append to the session";
        let key = key.clone();
        let bytes = bytes(&append.drafts);
        let ready = ready(OPERATION, append, |it| &it.drafts).await?;
        self.write(OPERATION, bytes, move |connection, now| {
            log::append(connection, &key, &ready, now)
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

    async fn forget(&self, key: &SessionKey, forget: Forget) -> Result<Forgotten, MemoryError> {
        let work = move |connection: &Connection, key: &SessionKey, now| {
            catalog::forget(connection, key, forget, now)
        };
        self.erase("forget the session", key, work).await
    }

    async fn forget_entry(&self, key: &SessionKey, seq: Seq) -> Result<Forgotten, MemoryError> {
        let forget = move |connection: &Connection, key: &SessionKey, now| {
            log::forget_entry(connection, key, seq, now)
        };
        self.erase("forget the entry", key, forget).await
    }
}

#[async_trait]
impl Catalog for SqliteStore {
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError> {
        let key = key.clone();
        let bytes = words(&[&new.title, &new.system, &new.model], new.metadata.as_ref());
        self.write("create the session", bytes, move |connection, now| {
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
        let texts =
            [&patch.title, &patch.system, &patch.model].map(|it| it.as_ref().unwrap_or(&None));
        let metadata = patch.metadata.as_ref().and_then(Option::as_ref);
        let bytes = words(&texts, metadata);
        self.write("change the session", bytes, move |connection, now| {
            catalog::patch(connection, &key, &patch, now)
        })
        .await
    }

    async fn keep_summary(
        &self,
        key: &SessionKey,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        let key = key.clone();
        self.write("keep the summary", summary.text.len(), move |connection, _| {
            log::keep_summary(connection, &key, edition, &summary)
        })
        .await
    }

    async fn summaries(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        let key = key.clone();
        let work = move |connection: &Connection| {
            let stored = catalog::find(connection, &key)?;
            stored.map_or(Ok(Vec::new()), |it| summaries::of_session(connection, it.row))
        };
        self.reader.run("read the summaries", work).await
    }
}

#[async_trait]
impl Recall for SqliteStore {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        let (owner, search) = (owner.clone(), search.clone());
        let work = move |connection: &Connection| recall::search(connection, &owner, &search);
        self.reader.run("search", work).await
    }

    async fn unembedded(&self, model: &str, limit: usize) -> Result<Vec<Unembedded>, MemoryError> {
        let model = model.to_owned();
        let work = move |connection: &Connection| recall::unembedded(connection, &model, limit);
        self.reader.run("read what to embed", work).await
    }

    async fn keep_embeddings(
        &self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError> {
        let model = model.to_owned();
        let bytes = embeddings.iter().map(|it| it.values.len()).sum();
        self.write("keep embeddings", bytes, move |connection, _| {
            recall::keep(connection, &model, &embeddings)
        })
        .await
    }
}

#[async_trait]
impl MemoryStore for SqliteStore {
    fn capabilities(&self) -> MemoryCapabilities {
        MemoryCapabilities { durable: true, shared: false, ephemeral: false }
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        let probe = pin!(self.writer.probe());
        match future::select(probe, self.clock.sleep(HEALTH_PATIENCE)).await {
            Either::Left((result, _)) => result.map(|()| Health::of(self.tier())),
            Either::Right(((), _)) => {
                Err(MemoryError::new("write in time", MemoryErrorKind::Unavailable))
            }
        }
    }
}
