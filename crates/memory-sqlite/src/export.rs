//! Exports: from one state of the database into a file that has no name, and from there to the
//! client, so that a client who dawdles holds nothing of the database.

use std::{path::Path, sync::Arc, time::Duration};

use brain_core::{
    BoxError,
    ids::{Owner, Seq, Token},
    memory::{
        Edition, Entry, ExportPart, ExportedEntry, ExportedHead, ExportedSession, MemoryError,
        MemoryErrorKind, Session,
    },
};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use rusqlite::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task,
};

use crate::{
    error::{Failure, Outcome},
    rows::{self, StoredSession, session_columns},
    spool::{Frame, Spool, Spooled},
    summaries,
};

/// Exports whose files may exist at once,
const EXPORTS: usize = 16;
/// and when whoever found as many should come back.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Exports that are read from the database at once.
const READERS: usize = 2;
/// Pieces that are read from a file at a time,
const BATCH: usize = 256;
/// unless they have so many bytes together.
const BATCH_BYTES: usize = 256 << 10;
const OPERATION: &str = "export the sessions";

/// How many exports there are.
#[derive(Clone, Debug)]
pub(crate) struct Exports {
    files: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl Exports {
    pub(crate) fn new() -> Self {
        let (files, readers) = (Semaphore::new(EXPORTS), Semaphore::new(READERS));
        Self { files: Arc::new(files), readers: Arc::new(readers) }
    }

    /// Lays an export aside by `spool`, which may block, and returns it piece by piece.
    pub(crate) async fn run(
        &self,
        spool: impl FnOnce() -> Outcome<Spooled> + Send + 'static,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError> {
        let overloaded = MemoryErrorKind::Overloaded { retry_after: RETRY_AFTER };
        let file = Arc::clone(&self.files).try_acquire_owned();
        let file = file.map_err(|error| failed(overloaded, error))?;
        let reader = Arc::clone(&self.readers).acquire_owned().await;
        let reader = reader.map_err(|error| failed(MemoryErrorKind::Unavailable, error))?;
        let spooled = blocking(move || {
            let spooled = spool();
            drop(reader);
            spooled
        });
        Ok(parts(spooled.await?, file))
    }
}

fn failed(kind: MemoryErrorKind, source: impl Into<BoxError>) -> MemoryError {
    MemoryError::new(OPERATION, kind).with_source(source)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Result<T, MemoryError> {
    match task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|failure| failure.during(OPERATION)),
        Err(error) => Err(failed(MemoryErrorKind::Unavailable, error)),
    }
}

/// Writes everything of the owner, as this connection sees it, to a file in `folder`.
pub(crate) fn lay_aside(connection: &Connection, owner: &Owner, folder: &Path) -> Outcome<Spooled> {
    let snapshot = connection.unchecked_transaction()?;
    let mut spool = Spool::create(folder)?;
    let sql = concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions s WHERE s.owner = ?1 ORDER BY s.created_at, s.name"
    );
    let mut statement = snapshot.prepare_cached(sql)?;
    let mut found = statement.query([owner.as_str().as_bytes()])?;
    while let Some(row) = found.next()? {
        lay_session_aside(&snapshot, &rows::session(row)?, &mut spool)?;
    }
    Ok(spool.finish()?)
}

fn lay_session_aside(
    connection: &Connection,
    stored: &StoredSession,
    spool: &mut Spool,
) -> Outcome<()> {
    let summaries = summaries::of_session(connection, stored.row)?;
    let head = ExportedHead::of(&stored.session, summaries);
    spool.head(&serde_json::to_string(head.session()).map_err(Failure::corrupt)?)?;
    let sql = "SELECT seq, parent, json FROM messages WHERE session = ?1 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([stored.row])?;
    while let Some(row) = found.next()? {
        let json = row.get_ref(2)?.as_str().map_err(Failure::corrupt)?;
        spool.entry(Seq(rows::unsigned(row, 0)?), rows::seq(row, 1)?, json)?;
    }
    Ok(())
}

/// The pieces of a file, which is there until the last one was taken or the stream is dropped.
fn parts(
    spooled: Spooled,
    file: OwnedSemaphorePermit,
) -> BoxStream<'static, Result<ExportPart, MemoryError>> {
    stream::try_unfold((spooled, file), async |(mut spooled, file)| {
        let read = blocking(move || batch(&mut spooled).map(|parts| (parts, spooled)));
        let (parts, spooled) = read.await?;
        let parts = (!parts.is_empty()).then(|| stream::iter(parts.into_iter().map(Ok)));
        Ok(parts.map(|parts| (parts, (spooled, file))))
    })
    .try_flatten()
    .boxed()
}

fn batch(spooled: &mut Spooled) -> Outcome<Vec<ExportPart>> {
    let (mut parts, mut bytes) = (Vec::new(), 0);
    while parts.len() < BATCH
        && bytes < BATCH_BYTES
        && let Some(frame) = spooled.next()?
    {
        bytes += frame.json().len();
        parts.push(part(&frame)?);
    }
    Ok(parts)
}

fn part(frame: &Frame) -> Outcome<ExportPart> {
    match frame {
        Frame::Head(json) => Ok(ExportPart::Session(head(json)?)),
        Frame::Entry(seq, parent, json) => {
            let entry = Entry::decode(*seq, *parent, json).map_err(Failure::corrupt)?;
            Ok(ExportPart::Entry(ExportedEntry::from(&entry)))
        }
    }
}

fn head(json: &str) -> Outcome<ExportedHead> {
    let head: ExportedSession = serde_json::from_str(json).map_err(Failure::corrupt)?;
    let session = Session {
        id: head.id,
        title: head.title,
        has_default_title: head.has_default_title,
        metadata: head.metadata,
        system: head.system,
        model: head.model,
        recall: head.recall,
        class: head.class,
        head: head.head,
        // No export has these.
        token: Token::random(),
        edition: Edition::random(),
        entries: 0,
        created_at: head.created_at,
        updated_at: head.updated_at,
    };
    Ok(ExportedHead::of(&session, head.summaries))
}
