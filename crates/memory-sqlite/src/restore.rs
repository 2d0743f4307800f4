//! Putting exported sessions back: entries go into a hidden session, a batch a transaction, and the
//! last one shows them all.
//!
//! The checks of an export are the core's; this says where it goes, and when others can see it. The
//! turns of a session that is moved here come to be seen with it.

use std::sync::Arc;

use brain_core::{
    ids::{Seq, SessionKey, Token},
    memory::{
        Draft, ExportedSession, MemoryError, MemoryErrorKind, NewSession, Restored, Session,
        TurnRecord,
    },
    recall::Document,
};
use futures_util::{FutureExt, future};
use rusqlite::Connection;
use tokio::task;

use crate::{
    catalog,
    error::{Failure, Outcome},
    hidden::{self, HiddenName},
    log::{self, Tail},
    reader::Reader,
    recall,
    rows::StoredSession,
    summaries, turns,
    writer::Writer,
};

/// A batch takes no further entry after this many,
const BATCH: usize = 400;
/// or after this many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// How often it is begun anew because the session has changed meanwhile.
const ATTEMPTS: usize = 3;
const OPERATION: &str = "restore the session";

/// What restoring comes to, by what is there already.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// There is no session of this name.
    Create,
    /// There is one, in this state, with so many entries.
    Extend(Token, usize),
    /// It is all there, but for turns.
    Turns(Token),
    /// It is all there.
    Nothing,
}

/// One restoring.
#[derive(Clone, Debug)]
pub(crate) struct Restore {
    pub(crate) key: SessionKey,
    pub(crate) import: Arc<ExportedSession>,
    /// Over, and not part of an export.
    pub(crate) turns: Arc<[TurnRecord]>,
}

/// Entries that are written together.
#[derive(Default)]
struct Batch {
    places: Vec<(Seq, Option<Seq>)>,
    drafts: Vec<Draft>,
    documents: Vec<Option<Document>>,
    bytes: usize,
    /// The first one of the import's entries,
    start: usize,
    /// and the first one that is left for the next batch.
    end: usize,
}

impl Restore {
    pub(crate) async fn run(
        self,
        reader: &Reader,
        writer: &Writer,
    ) -> Result<Restored, MemoryError> {
        let (import, turns) = (Arc::clone(&self.import), Arc::clone(&self.turns));
        blocking(move || import.check_move(&turns)).await??;
        let mut attempt = 1;
        loop {
            let asked = self.clone();
            let plan = reader.run(OPERATION, move |connection| asked.plan(connection)).await?;
            match self.carry_out(plan, writer).await {
                Err(error) if error.kind() == MemoryErrorKind::Conflict && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn plan(&self, connection: &Connection) -> Outcome<Plan> {
        let Some(stored) = catalog::find(connection, &self.key)? else { return Ok(Plan::Create) };
        if turns::open_of(connection, stored.row)?.is_some() {
            return Err(MemoryErrorKind::Conflict.into());
        }
        let entries = log::entries_after(connection, stored.row, Seq(0), usize::MAX)?;
        let there = ExportedSession::of(&stored.session, &entries, Vec::new());
        let restored = self.import.compare(&there);
        match restored.map_err(|error| Failure::Refused(error.kind()))? {
            Restored::Unchanged if turns::misses_one(connection, &self.turns)? => {
                Ok(Plan::Turns(stored.session.token))
            }
            Restored::Unchanged => Ok(Plan::Nothing),
            Restored::Created | Restored::Extended(_) => {
                Ok(Plan::Extend(stored.session.token, entries.len()))
            }
        }
    }

    async fn carry_out(&self, plan: Plan, writer: &Writer) -> Result<Restored, MemoryError> {
        let first = match plan {
            Plan::Create => 0,
            Plan::Extend(_, there) => there,
            Plan::Turns(token) => return self.add_turns(token, writer).await,
            Plan::Nothing => return Ok(Restored::Unchanged),
        };
        let mut staged = Staged { name: HiddenName::random(), shown: false, writer };
        let (name, entries) = (staged.name, self.import.entries.len());
        let mut batch = self.encode(first).await?;
        while !staged.shown {
            let (restore, end, shown) = (self.clone(), batch.end, batch.end == entries);
            let bytes = batch.bytes + if shown { 2 * self.words() + self.requests() } else { 0 };
            let work = move |connection: &Connection| {
                let row = restore.stage(connection, (name, first), &batch)?;
                if shown { restore.show(connection, row, plan) } else { Ok(()) }
            };
            let written = writer.run(OPERATION, bytes, work);
            // The next one is encoded while this one is written.
            let (written, next) = future::join(written, self.encode(end)).await;
            written?;
            batch = next?;
            staged.shown = shown;
        }
        Ok(match plan {
            Plan::Create => Restored::Created,
            Plan::Extend(..) => Restored::Extended((entries - first) as u64),
            Plan::Turns(_) | Plan::Nothing => Restored::Unchanged,
        })
    }

    /// Adds the turns that are missing of a session that is all there in this state.
    async fn add_turns(&self, token: Token, writer: &Writer) -> Result<Restored, MemoryError> {
        let restore = self.clone();
        let work = move |connection: &Connection| {
            let stored = catalog::find(connection, &restore.key)?;
            let stored = stored.filter(|it| it.session.token == token);
            let stored = stored.ok_or(MemoryErrorKind::Conflict)?;
            turns::keep(connection, (stored.row, &restore.key), &restore.turns)
        };
        writer.run(OPERATION, self.requests(), work).await?;
        Ok(Restored::Unchanged)
    }

    /// How many bytes the requests of the turns have.
    fn requests(&self) -> usize {
        self.turns.iter().map(|it| it.request.as_str().len()).sum()
    }

    async fn encode(&self, first: usize) -> Result<Batch, MemoryError> {
        let import = Arc::clone(&self.import);
        let mut batch = blocking(move || Batch::encode(&import, first)).await??;
        batch.documents = documents(&batch.drafts).await?;
        Ok(batch)
    }

    /// How many bytes there are beside the entries.
    fn words(&self) -> usize {
        let ExportedSession { title, metadata, system, model, summaries, .. } = &*self.import;
        let texts = [title, system, model].map(|it| it.as_ref().map(String::len));
        let metadata = metadata.as_ref().map_or(0, |it| it.as_str().len());
        let summaries: usize = summaries.iter().map(|it| it.text.len()).sum();
        texts.into_iter().flatten().sum::<usize>() + metadata + summaries
    }

    /// Adds a batch to the hidden session, and makes that first.
    fn stage(
        &self,
        connection: &Connection,
        (name, first): (HiddenName, usize),
        batch: &Batch,
    ) -> Outcome<i64> {
        let row = match hidden::find(connection, name)? {
            Some(row) => row,
            None if batch.start == first => hidden::insert(connection, name, &self.session())?,
            None => return Err(MemoryErrorKind::Conflict.into()),
        };
        let mut tail = Tail::of(connection, row)?.for_owner(&self.key.owner);
        let drafts = batch.drafts.iter().zip(&batch.documents);
        for (place, draft) in batch.places.iter().zip(drafts) {
            tail.push(*place, draft, None)?;
        }
        tail.finish()?;
        Ok(row)
    }

    /// The session as it will be shown.
    fn session(&self) -> Session {
        let import = &*self.import;
        let new = NewSession {
            title: import.title.clone(),
            metadata: import.metadata.clone(),
            system: import.system.clone(),
            model: import.model.clone(),
            recall: import.recall,
            class: import.class,
        };
        Session {
            has_default_title: import.has_default_title,
            head: import.head,
            entries: import.entries.len() as u64,
            updated_at: import.updated_at,
            ..Session::new(self.key.id.clone(), new, import.created_at)
        }
    }

    /// Lets everybody see what was staged, if all is still as it was planned for.
    fn show(&self, connection: &Connection, hidden: i64, plan: Plan) -> Outcome<()> {
        let row = match (plan, catalog::find(connection, &self.key)?) {
            (Plan::Create, None) => {
                hidden::reveal(connection, hidden, &self.key)?;
                hidden
            }
            (Plan::Extend(token, _), Some(StoredSession { row, session }))
                if session.token == token && turns::open_of(connection, row)?.is_none() =>
            {
                hidden::merge(connection, hidden, row)?;
                row
            }
            (Plan::Create | Plan::Extend(..) | Plan::Turns(_) | Plan::Nothing, _) => {
                return Err(MemoryErrorKind::Conflict.into());
            }
        };
        summaries::forget_from(connection, row, Seq(0))?;
        for summary in &self.import.summaries {
            summaries::keep(connection, row, summary)?;
        }
        catalog::save(connection, row, &self.session())?;
        turns::keep(connection, (row, &self.key), &self.turns)
    }
}

impl Batch {
    fn encode(import: &ExportedSession, first: usize) -> Result<Self, MemoryError> {
        let mut batch = Self { start: first, end: first, ..Self::default() };
        for it in import.entries.iter().skip(first).take(BATCH) {
            let draft = Draft::new(it.entry.clone())?;
            batch.bytes += 2 * draft.json().len();
            batch.places.push((it.seq, it.parent));
            batch.drafts.push(draft);
            batch.end += 1;
            if BATCH_BYTES <= batch.bytes {
                break;
            }
        }
        Ok(batch)
    }
}

/// A hidden session that is doomed unless it comes to be shown.
struct Staged<'a> {
    name: HiddenName,
    shown: bool,
    writer: &'a Writer,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if self.shown {
            return;
        }
        let (name, flags) = (self.name, Arc::clone(self.writer.flags()));
        let work = move |connection: &Connection| {
            let Some(row) = hidden::find(connection, name)? else { return Ok(()) };
            flags.ask_for_chores();
            hidden::doom(connection, row)
        };
        // It is queued by being polled. What finds no place in the queue is doomed at the next start.
        drop(self.writer.run(OPERATION, 0, work).now_or_never());
    }
}

/// What can be found of each of these entries; it takes longest of all, and so two threads do it.
async fn documents(drafts: &[Draft]) -> Result<Vec<Option<Document>>, MemoryError> {
    let take_apart = |drafts: &[Draft]| {
        let drafts = drafts.to_vec();
        blocking(move || recall::documents(&drafts))
    };
    let (first, second) = drafts.split_at(drafts.len() / 2);
    let (mut documents, rest) = future::try_join(take_apart(first), take_apart(second)).await?;
    documents.extend(rest);
    Ok(documents)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, MemoryError> {
    let unavailable = MemoryErrorKind::Unavailable;
    let done = task::spawn_blocking(work).await;
    done.map_err(|error| MemoryError::new(OPERATION, unavailable).with_source(error))
}
