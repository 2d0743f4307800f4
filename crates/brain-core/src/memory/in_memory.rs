//! The reference store: the whole port in the memory of the process, behind one lock.
//!
//! It is what the contract means, and what tests run on. It is no cache: it never evicts, and
//! ends with the process.

mod recall;
mod session;
mod state;
mod turns;
pub(super) mod weight;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};

use self::state::State;
use super::{
    Append, Appended, Branch, Catalog, Checkpoint, CloseTurn, Embedded, Entry, ExportPart,
    ExportedSession, Fence, Forgotten, Health, Hit, ListOptions, MemoryCapabilities, MemoryError,
    MemoryErrorKind, MemoryStore, NewSession, OpenTurn, Opened, Portable, ReadOptions, Recall,
    Restored, Search, Session, SessionLog, SessionPatch, Signals, Summary, TierHealth, TurnIndex,
    TurnRecord, Turns, Unembedded, Upkeep,
};
use crate::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, Token, TurnId},
    time::{Clock, Timestamp},
};

/// Keeps everything in this process.
///
/// Entries are shared, never copied: a read of the newest n entries touches n of them, however
/// long the history is.
pub struct InMemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl InMemoryStore {
    /// An empty store; leases, key lives and the times of sessions are those of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl fmt::Debug for InMemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryStore").finish_non_exhaustive()
    }
}

fn conflict(operation: &'static str) -> MemoryError {
    MemoryError::new(operation, MemoryErrorKind::Conflict)
}

#[async_trait]
impl SessionLog for InMemoryStore {
    async fn append(&self, key: &SessionKey, append: Append) -> Result<Appended, MemoryError> {
        self.state().append(key, &append, self.now())
    }

    async fn read(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        self.state().sessions.get(key).map(|it| it.read(options)).transpose()
    }

    async fn scan(
        &self,
        key: &SessionKey,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, MemoryError> {
        Ok(self.state().sessions.get(key).map(|it| it.scan(after, limit)).unwrap_or_default())
    }

    async fn move_head(
        &self,
        key: &SessionKey,
        expect: Token,
        head: Option<Seq>,
    ) -> Result<Session, MemoryError> {
        let mut state = self.state();
        let session = state.sessions.get_mut(key).ok_or_else(|| conflict("move the head"))?;
        session.move_head(expect, head, self.now())
    }

    async fn forget(&self, key: &SessionKey) -> Result<Forgotten, MemoryError> {
        Ok(self.state().forget(key))
    }

    async fn forget_entry(&self, key: &SessionKey, seq: Seq) -> Result<Forgotten, MemoryError> {
        self.state().forget_entry(key, seq, self.now())
    }
}

#[async_trait]
impl Catalog for InMemoryStore {
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError> {
        self.state().create(key, new, self.now())
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, MemoryError> {
        Ok(self.state().sessions.get(key).map(|it| it.session.clone()))
    }

    async fn list(&self, owner: &Owner, options: ListOptions) -> Result<Vec<Session>, MemoryError> {
        Ok(self.state().list(owner, &options))
    }

    async fn patch(
        &self,
        key: &SessionKey,
        patch: SessionPatch,
    ) -> Result<Option<Session>, MemoryError> {
        Ok(self.state().sessions.get_mut(key).map(|it| it.patch(patch, self.now())))
    }

    async fn keep_summary(&self, key: &SessionKey, summary: Summary) -> Result<(), MemoryError> {
        let mut state = self.state();
        let session = state.sessions.get_mut(key).ok_or_else(|| conflict("keep a summary"))?;
        session.keep_summary(summary)
    }

    async fn summaries(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        Ok(self.state().sessions.get(key).map(|it| it.summaries()).unwrap_or_default())
    }
}

#[async_trait]
impl Portable for InMemoryStore {
    async fn export(
        &self,
        owner: &Owner,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError> {
        Ok(stream::iter(self.state().export(owner).into_iter().map(Ok)).boxed())
    }

    async fn restore(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        self.state().restore(key, session)
    }
}

#[async_trait]
impl Recall for InMemoryStore {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        Ok(self.state().search(owner, search))
    }

    async fn unembedded(&self, model: &str, limit: usize) -> Result<Vec<Unembedded>, MemoryError> {
        Ok(self.state().unembedded(model, limit))
    }

    async fn keep_embeddings(
        &self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError> {
        self.state().keep_embeddings(model, embeddings);
        Ok(())
    }
}

#[async_trait]
impl Turns for InMemoryStore {
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        self.state().open(open, self.now())
    }

    async fn take(&self, fence: Fence, lease: Duration) -> Result<TurnRecord, MemoryError> {
        self.state().take(fence, lease, self.now())
    }

    async fn renew(&self, fence: Fence, lease: Duration) -> Result<Signals, MemoryError> {
        self.state().renew(fence, lease, self.now())
    }

    async fn checkpoint(&self, fence: Fence, checkpoint: Checkpoint) -> Result<(), MemoryError> {
        self.state().checkpoint(fence, checkpoint)
    }

    async fn close(&self, close: CloseTurn) -> Result<TurnRecord, MemoryError> {
        self.state().close(&close, self.now())
    }
}

#[async_trait]
impl TurnIndex for InMemoryStore {
    async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnRecord>, MemoryError> {
        Ok(self.state().turn(owner, turn).cloned())
    }

    async fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        Ok(self.state().turn_by_key(owner, key, self.now()).cloned())
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        Ok(self.state().request_cancel(owner, turn))
    }

    async fn unfinished(&self) -> Result<Vec<TurnRecord>, MemoryError> {
        Ok(self.state().unfinished())
    }
}

#[async_trait]
impl Upkeep for InMemoryStore {
    async fn idle_since(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, MemoryError> {
        Ok(self.state().idle_since(before, limit))
    }

    async fn prune_turns(&self, before: Timestamp) -> Result<u64, MemoryError> {
        Ok(self.state().prune_turns(before))
    }

    async fn unsettled(&self, limit: usize) -> Result<Vec<SessionKey>, MemoryError> {
        Ok(self.state().unsettled(limit))
    }

    async fn settle(&self, key: &SessionKey) -> Result<(), MemoryError> {
        self.state().settle(key);
        Ok(())
    }
}

#[async_trait]
impl MemoryStore for InMemoryStore {
    fn capabilities(&self) -> MemoryCapabilities {
        MemoryCapabilities::default()
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        let note = Some("ends with the process".to_owned());
        Ok(Health::of(TierHealth { note, ..TierHealth::well("process") }))
    }
}
