//! A hot tier that goes wrong in every way in which one can, by the throw of a die.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use brain_core::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, Token, TurnId},
    memory::{
        Append, Appended, Branch, Catalog, Checkpoint, CloseTurn, Edition, Embedded, Entry,
        ExportPart, ExportedSession, Fence, Forget, Forgotten, Health, Hit, HotTier, ListOptions,
        MemoryCapabilities, MemoryError, MemoryErrorKind, MemoryStore, NewSession, OpenTurn,
        Opened, Portable, ReadOptions, Recall, Restored, Search, Session, SessionCache, SessionLog,
        SessionPatch, Signals, Summary, TakenOver, TurnIndex, TurnRecord, Turns, Unembedded,
        Upkeep,
    },
    time::Timestamp,
};
use brain_testkit::{FaultyStore, Gate};
use futures_util::stream::BoxStream;

/// How a hot tier may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// It works.
    Well,
    /// It fails every call.
    Dead,
    /// It never answers.
    Silent,
    /// Of a hundred calls so many fail, and of those half have happened.
    Fails(u64),
    /// Of a hundred changes so many are lost, and nobody is told.
    Loses(u64),
    /// Of a hundred reads so many find nothing: it evicts.
    Forgets(u64),
    /// It holds copies that cannot be read.
    Garbled,
    /// It answers after others have had their turn, so many times.
    Lags(u64),
}

/// A hot tier in some mood: its copies go wrong by it, and so does it as a store where it fails.
#[derive(Debug)]
pub(super) struct Chaos {
    inner: Arc<dyn HotTier>,
    pub(super) store: FaultyStore,
    mood: std::sync::Mutex<Mood>,
    dice: AtomicU64,
    pub(super) asked: AtomicUsize,
    never: Gate,
}

impl Chaos {
    pub(super) fn new(inner: Arc<dyn HotTier>, mood: Mood, seed: u64) -> Self {
        let store = FaultyStore::new(Arc::clone(&inner) as Arc<dyn MemoryStore>);
        let mood = std::sync::Mutex::new(mood);
        let (dice, asked) = (AtomicU64::new(seed), AtomicUsize::new(0));
        Self { inner, store, mood, dice, asked, never: Gate::new() }
    }

    pub(super) fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    pub(super) fn turns(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often it was asked for anything.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A number below 100.
    fn throw(&self) -> u64 {
        let step = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (step ^ (step >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100
    }

    async fn run<T>(
        &self,
        is_change: bool,
        nothing: impl FnOnce() -> T,
        call: impl Future<Output = Result<T, MemoryError>>,
    ) -> Result<T, MemoryError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let failure = || MemoryError::new("do as it likes", MemoryErrorKind::Unavailable);
        match self.mood() {
            Mood::Well | Mood::Garbled => call.await,
            Mood::Dead => Err(failure()),
            Mood::Silent => {
                self.never.pass().await;
                Err(failure())
            }
            Mood::Fails(percent) if self.throw() < percent => {
                if self.throw() < 50 {
                    drop(call.await);
                }
                Err(failure())
            }
            Mood::Loses(percent) if is_change && self.throw() < percent => Ok(nothing()),
            Mood::Forgets(percent) if !is_change && self.throw() < percent => Ok(nothing()),
            Mood::Lags(times) => {
                for _ in 0..self.throw() % (times + 1) {
                    tokio::task::yield_now().await;
                }
                let done = call.await;
                tokio::task::yield_now().await;
                done
            }
            Mood::Fails(_) | Mood::Loses(_) | Mood::Forgets(_) => call.await,
        }
    }

    /// A call of the store.
    async fn ask<T>(
        &self,
        call: impl Future<Output = Result<T, MemoryError>>,
    ) -> Result<T, MemoryError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let failure = || MemoryError::new("do as it likes", MemoryErrorKind::Unavailable);
        match self.mood() {
            Mood::Dead => Err(failure()),
            Mood::Silent => {
                self.never.pass().await;
                Err(failure())
            }
            Mood::Well
            | Mood::Fails(_)
            | Mood::Loses(_)
            | Mood::Forgets(_)
            | Mood::Garbled
            | Mood::Lags(_) => call.await,
        }
    }
}

#[async_trait]
impl SessionCache for Chaos {
    async fn cached(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        let cached = async {
            if matches!(self.mood(), Mood::Garbled) {
                return Err(MemoryError::new("read a copy", MemoryErrorKind::Corrupt));
            }
            self.inner.cached(key, options).await
        };
        self.run(false, || None, cached).await
    }

    async fn fill(&self, key: &SessionKey, copy: &Branch) -> Result<(), MemoryError> {
        self.run(true, || (), self.inner.fill(key, copy)).await
    }

    async fn advance(
        &self,
        key: &SessionKey,
        previous: Token,
        session: &Session,
        entries: &[Entry],
    ) -> Result<(), MemoryError> {
        self.run(true, || (), self.inner.advance(key, previous, session, entries)).await
    }

    async fn evict(&self, key: &SessionKey) -> Result<(), MemoryError> {
        // What is said to be gone is gone: no cache may promise less.
        self.run(false, || (), self.inner.evict(key)).await
    }

    async fn bury(&self, key: &SessionKey) -> Result<Forgotten, MemoryError> {
        self.run(false, Forgotten::default, self.inner.bury(key)).await
    }

    async fn take_over(&self, owner: &Owner) -> Result<TakenOver, MemoryError> {
        self.run(false, TakenOver::default, self.inner.take_over(owner)).await
    }
}

#[async_trait]
impl SessionLog for Chaos {
    async fn append(&self, key: &SessionKey, append: Append) -> Result<Appended, MemoryError> {
        self.ask(self.store.append(key, append)).await
    }

    async fn read(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        self.ask(self.store.read(key, options)).await
    }

    async fn scan(
        &self,
        key: &SessionKey,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, MemoryError> {
        self.ask(self.store.scan(key, after, limit)).await
    }

    async fn move_head(
        &self,
        key: &SessionKey,
        expect: Token,
        head: Option<Seq>,
    ) -> Result<Session, MemoryError> {
        self.ask(self.store.move_head(key, expect, head)).await
    }

    async fn forget(&self, key: &SessionKey, forget: Forget) -> Result<Forgotten, MemoryError> {
        self.ask(self.store.forget(key, forget)).await
    }

    async fn forget_entry(&self, key: &SessionKey, seq: Seq) -> Result<Forgotten, MemoryError> {
        self.ask(self.store.forget_entry(key, seq)).await
    }
}

#[async_trait]
impl Catalog for Chaos {
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError> {
        self.ask(self.store.create(key, new)).await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, MemoryError> {
        self.ask(self.store.session(key)).await
    }

    async fn list(&self, owner: &Owner, options: ListOptions) -> Result<Vec<Session>, MemoryError> {
        self.ask(self.store.list(owner, options)).await
    }

    async fn patch(
        &self,
        key: &SessionKey,
        patch: SessionPatch,
    ) -> Result<Option<Session>, MemoryError> {
        self.ask(self.store.patch(key, patch)).await
    }

    async fn keep_summary(
        &self,
        key: &SessionKey,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        self.ask(self.store.keep_summary(key, edition, summary)).await
    }

    async fn summaries(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        self.ask(self.store.summaries(key)).await
    }
}

#[async_trait]
impl Portable for Chaos {
    async fn export(
        &self,
        owner: &Owner,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError> {
        self.ask(self.store.export(owner)).await
    }

    async fn restore(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        self.ask(self.store.restore(key, session)).await
    }

    async fn move_in(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        self.ask(self.store.move_in(key, session, turns)).await
    }
}

#[async_trait]
impl Recall for Chaos {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        self.ask(self.store.search(owner, search)).await
    }

    async fn unembedded(&self, model: &str, limit: usize) -> Result<Vec<Unembedded>, MemoryError> {
        self.ask(self.store.unembedded(model, limit)).await
    }

    async fn keep_embeddings(
        &self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError> {
        self.ask(self.store.keep_embeddings(model, embeddings)).await
    }
}

#[async_trait]
impl Turns for Chaos {
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        self.ask(self.store.open(open)).await
    }

    async fn take(&self, fence: Fence, lease: Duration) -> Result<TurnRecord, MemoryError> {
        self.ask(self.store.take(fence, lease)).await
    }

    async fn renew(&self, fence: Fence, lease: Duration) -> Result<Signals, MemoryError> {
        self.ask(self.store.renew(fence, lease)).await
    }

    async fn checkpoint(&self, fence: Fence, checkpoint: Checkpoint) -> Result<(), MemoryError> {
        self.ask(self.store.checkpoint(fence, checkpoint)).await
    }

    async fn close(&self, close: CloseTurn) -> Result<TurnRecord, MemoryError> {
        self.ask(self.store.close(close)).await
    }
}

#[async_trait]
impl TurnIndex for Chaos {
    async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnRecord>, MemoryError> {
        self.ask(self.store.turn(owner, turn)).await
    }

    async fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        self.ask(self.store.turn_by_key(owner, key)).await
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        self.ask(self.store.request_cancel(owner, turn)).await
    }

    async fn unfinished(&self) -> Result<Vec<TurnRecord>, MemoryError> {
        self.ask(self.store.unfinished()).await
    }

    async fn lapsed(&self, limit: usize) -> Result<Vec<TurnRecord>, MemoryError> {
        self.ask(self.store.lapsed(limit)).await
    }

    async fn turns_of(&self, key: &SessionKey) -> Result<Vec<TurnRecord>, MemoryError> {
        self.ask(self.store.turns_of(key)).await
    }
}

#[async_trait]
impl Upkeep for Chaos {
    async fn named(
        &self,
        owner: &Owner,
        options: ListOptions,
    ) -> Result<Vec<Session>, MemoryError> {
        self.ask(self.store.named(owner, options)).await
    }

    async fn idle_since(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, MemoryError> {
        self.ask(self.store.idle_since(before, limit)).await
    }

    async fn prune_turns(&self, before: Timestamp) -> Result<u64, MemoryError> {
        self.ask(self.store.prune_turns(before)).await
    }

    async fn unsettled(&self, limit: usize) -> Result<Vec<SessionKey>, MemoryError> {
        self.ask(self.store.unsettled(limit)).await
    }

    async fn settle(&self, key: &SessionKey) -> Result<(), MemoryError> {
        self.ask(self.store.settle(key)).await
    }

    async fn pending(&self, key: &SessionKey) -> Result<u64, MemoryError> {
        self.ask(self.store.pending(key)).await
    }
}

#[async_trait]
impl MemoryStore for Chaos {
    fn capabilities(&self) -> MemoryCapabilities {
        self.inner.capabilities()
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        self.ask(self.store.health()).await
    }
}
