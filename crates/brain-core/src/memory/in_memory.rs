//! The reference store: the whole port in the memory of the process, behind one lock.
//!
//! It is what the contract means, and what tests run on. Bounded, it is also the only store of a
//! process, or the hot tier in front of another one, whose sessions it has copies of then. It
//! drops such copies when it needs the room, but never a session; all of it ends with the process.

mod recall;
mod room;
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

use self::{
    recall::{Indexed, found_in, found_in_import},
    state::State,
};
use super::{
    Append, Appended, Branch, Catalog, Checkpoint, CloseTurn, Edition, Embedded, Entry, ExportPart,
    ExportedSession, Fence, Forget, Forgotten, Health, Hit, ListOptions, LocalCache,
    MemoryCapabilities, MemoryError, MemoryErrorKind, MemoryStore, NewSession, OpenTurn, Opened,
    Portable, ReadOptions, Recall, Restored, Search, Session, SessionCache, SessionLog,
    SessionPatch, Signals, Summary, TakenOver, TierHealth, TurnIndex, TurnRecord, Turns,
    Unembedded, Upkeep,
};
use crate::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, Token, TurnId},
    time::{Clock, Timestamp},
};

/// What copies take at most where no budget is set, in bytes.
const COPIES: usize = 64 << 20;

/// Keeps everything in this process.
///
/// Entries are shared, never copied: a read of the newest n entries touches n of them, however
/// long the history is.
pub struct InMemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Of sessions that another store has.
    copies: LocalCache,
    budget: Option<usize>,
    ttl: Option<Duration>,
}

impl InMemoryStore {
    /// An empty store without bounds; leases, key lives and the times of sessions are those of
    /// `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let copies = LocalCache::new(Arc::clone(&clock), COPIES);
        Self { clock, state: Mutex::default(), copies, budget: None, ttl: None }
    }

    /// The same with room for `bytes`, as we estimate what things take. What does not fit is
    /// refused with [`MemoryErrorKind::Full`]; copies make room for sessions.
    #[must_use]
    pub fn with_budget(mut self, bytes: usize) -> Self {
        self.budget = Some(bytes);
        self.state().room.limit(bytes);
        self.copies.resize(bytes);
        self
    }

    /// The same with sessions that end, as a whole, when they were not appended to for `ttl` and no
    /// turn of theirs was renewed; `None` if they do not. Copies need no such end.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self.state().room.expire_after(ttl);
        self
    }

    /// Everything, without what has expired.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sweep(self.clock.elapsed());
        if let Some(budget) = self.budget {
            self.copies.resize(budget.saturating_sub(state.room.used()));
        }
        state
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
        let append = Indexed { append: &append, found: found_in(&append) };
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

    async fn forget(&self, key: &SessionKey, forget: Forget) -> Result<Forgotten, MemoryError> {
        self.state().forget(key, forget, self.now())
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
        self.state().patch(key, patch, self.now())
    }

    async fn keep_summary(
        &self,
        key: &SessionKey,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        self.state().keep_summary(key, edition, summary)
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
        self.move_in(key, session, &[]).await
    }

    async fn move_in(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        session.check_move(turns)?;
        let found = found_in_import(session).await;
        self.state().move_in(key, (session, &found), turns)
    }
}

#[async_trait]
impl Recall for InMemoryStore {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        Ok(self.find(owner, search).await)
    }

    async fn unembedded(&self, model: &str, limit: usize) -> Result<Vec<Unembedded>, MemoryError> {
        Ok(self.state().unembedded(model, limit))
    }

    async fn keep_embeddings(
        &self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError> {
        self.state().keep_embeddings(model, embeddings)
    }
}

#[async_trait]
impl Turns for InMemoryStore {
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        let found = found_in(&open.append);
        self.state().open(open, found, self.now())
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
        let found = found_in(&close.append);
        self.state().close(&close, found, self.now())
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

    async fn lapsed(&self, limit: usize) -> Result<Vec<TurnRecord>, MemoryError> {
        Ok(self.state().lapsed(limit, self.now()))
    }

    async fn turns_of(&self, key: &SessionKey) -> Result<Vec<TurnRecord>, MemoryError> {
        Ok(self.state().turns_of(key))
    }
}

#[async_trait]
impl Upkeep for InMemoryStore {
    async fn named(
        &self,
        owner: &Owner,
        options: ListOptions,
    ) -> Result<Vec<Session>, MemoryError> {
        self.list(owner, options).await
    }

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
        Ok(self.state().unsettled(limit, self.now()))
    }

    async fn settle(&self, key: &SessionKey) -> Result<(), MemoryError> {
        self.state().settle(key);
        Ok(())
    }

    async fn pending(&self, _key: &SessionKey) -> Result<u64, MemoryError> {
        Ok(0)
    }
}

#[async_trait]
impl MemoryStore for InMemoryStore {
    fn capabilities(&self) -> MemoryCapabilities {
        MemoryCapabilities { ephemeral: self.ttl.is_some(), ..MemoryCapabilities::default() }
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        let note = Some("ends with the process".to_owned());
        Ok(Health::of(TierHealth { note, ..TierHealth::well("process") }))
    }
}

#[async_trait]
impl SessionCache for InMemoryStore {
    async fn cached(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        self.copies.cached(key, options).await
    }

    async fn fill(&self, key: &SessionKey, copy: &Branch) -> Result<(), MemoryError> {
        drop(self.state()); // sessions come first: the copies are cut to what room is left
        self.copies.fill(key, copy).await
    }

    async fn advance(
        &self,
        key: &SessionKey,
        previous: Token,
        session: &Session,
        entries: &[Entry],
    ) -> Result<(), MemoryError> {
        drop(self.state());
        self.copies.advance(key, previous, session, entries).await
    }

    async fn evict(&self, key: &SessionKey) -> Result<(), MemoryError> {
        self.copies.evict(key).await
    }

    async fn bury(&self, key: &SessionKey) -> Result<Forgotten, MemoryError> {
        self.copies.bury(key).await
    }

    async fn take_over(&self, owner: &Owner) -> Result<TakenOver, MemoryError> {
        self.copies.take_over(owner).await
    }
}
