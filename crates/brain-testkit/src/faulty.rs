//! A store that fails, forgets to answer, or waits where a test says so.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use brain_core::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, Token, TurnId},
    memory::{
        Append, Appended, Branch, Catalog, Checkpoint, CloseTurn, Edition, Embedded, Entry,
        ExportPart, ExportedSession, Fence, Forget, Forgotten, Health, Hit, ListOptions,
        MemoryCapabilities, MemoryError, MemoryErrorKind, MemoryStore, NewSession, OpenTurn,
        Opened, Portable, ReadOptions, Recall, Restored, Search, Session, SessionLog, SessionPatch,
        Signals, Summary, TurnIndex, TurnRecord, Turns, Unembedded, Upkeep,
    },
    time::Timestamp,
};
use futures_util::{
    future::BoxFuture,
    stream::{self, BoxStream, StreamExt},
};

use crate::Gate;

/// The operations of a store, named as its methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the methods of the port say what they are")]
pub enum Operation {
    Append,
    Read,
    Scan,
    MoveHead,
    Forget,
    ForgetEntry,
    Pending,
    Create,
    Session,
    List,
    Patch,
    KeepSummary,
    Summaries,
    Export,
    ExportPart,
    Restore,
    MoveIn,
    Search,
    Unembedded,
    KeepEmbeddings,
    Open,
    Take,
    Renew,
    Checkpoint,
    Close,
    Turn,
    TurnByKey,
    RequestCancel,
    Unfinished,
    Lapsed,
    TurnsOf,
    Named,
    IdleSince,
    PruneTurns,
    Unsettled,
    Settle,
    Health,
}

/// Another store with faults planned into it; without any it is that store.
///
/// ```
/// # use std::sync::Arc;
/// # use brain_core::memory::{InMemoryStore, MemoryErrorKind};
/// # use brain_testkit::{FaultyStore, ManualClock, Operation};
/// let store = FaultyStore::new(Arc::new(InMemoryStore::new(Arc::new(ManualClock::new()))));
/// store.fail(Operation::Append, 2, MemoryErrorKind::Unavailable); // the next append but one
/// store.lose_reply(Operation::Close, 1);
/// let gate = store.hold(Operation::Checkpoint, 1);
/// # drop(gate);
/// ```
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn MemoryStore>,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    faults: Vec<Planned>,
    calls: HashMap<Operation, usize>,
}

#[derive(Debug)]
struct Planned {
    operation: Operation,
    /// Calls that go well before it.
    skip: usize,
    fault: Fault,
    /// Whether it stays.
    forever: bool,
}

#[derive(Clone, Debug)]
enum Fault {
    Fail(MemoryErrorKind),
    LoseReply,
    Hold(Gate),
}

impl FaultyStore {
    /// `inner`, without faults yet.
    #[must_use]
    pub fn new(inner: Arc<dyn MemoryStore>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    /// Fails the call of this number, counted from 1 and from now; it does nothing.
    pub fn fail(&self, operation: Operation, call: usize, kind: MemoryErrorKind) {
        self.plan_fault(operation, call, Fault::Fail(kind), false);
    }

    /// Fails every call from now on, until [`Self::heal`].
    pub fn break_down(&self, operation: Operation, kind: MemoryErrorKind) {
        self.plan_fault(operation, 1, Fault::Fail(kind), true);
    }

    /// Does the call of this number, but answers [`MemoryErrorKind::OutcomeUnknown`].
    pub fn lose_reply(&self, operation: Operation, call: usize) {
        self.plan_fault(operation, call, Fault::LoseReply, false);
    }

    /// Makes the call of this number wait at the gate that it returns, before it does anything.
    #[must_use]
    pub fn hold(&self, operation: Operation, call: usize) -> Gate {
        let gate = Gate::new();
        self.plan_fault(operation, call, Fault::Hold(gate.clone()), false);
        gate
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.plan().faults.clear();
    }

    /// How often an operation was called.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> usize {
        self.plan().calls.get(&operation).copied().unwrap_or_default()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan_fault(&self, operation: Operation, call: usize, fault: Fault, forever: bool) {
        assert!(0 < call, "calls are counted from 1");
        self.plan().faults.push(Planned { operation, skip: call - 1, fault, forever });
    }

    /// Runs one call of the inner store, as the plan has it.
    async fn run<T>(
        &self,
        operation: Operation,
        call: BoxFuture<'_, Result<T, MemoryError>>,
    ) -> Result<T, MemoryError> {
        let fault = self.plan().next(operation);
        match fault {
            None => call.await,
            Some(Fault::Fail(kind)) => Err(MemoryError::new("do as planned", kind)),
            Some(Fault::Hold(gate)) => {
                gate.pass().await;
                call.await
            }
            Some(Fault::LoseReply) => {
                drop(call.await);
                Err(MemoryError::new("hear the reply", MemoryErrorKind::OutcomeUnknown))
            }
        }
    }
}

impl Plan {
    /// The fault of this call, if one is planned; of several the first.
    fn next(&mut self, operation: Operation) -> Option<Fault> {
        *self.calls.entry(operation).or_default() += 1;
        let mut found = None;
        self.faults.retain_mut(|planned| {
            if planned.operation != operation || 0 < planned.skip {
                planned.skip -= usize::from(planned.operation == operation);
                return true;
            }
            if found.is_none() {
                found = Some(planned.fault.clone());
                return planned.forever;
            }
            true
        });
        found
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SessionLog for FaultyStore {
    async fn append(&self, key: &SessionKey, append: Append) -> Result<Appended, MemoryError> {
        self.run(Operation::Append, self.inner.append(key, append)).await
    }

    async fn read(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        self.run(Operation::Read, self.inner.read(key, options)).await
    }

    async fn scan(
        &self,
        key: &SessionKey,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, MemoryError> {
        self.run(Operation::Scan, self.inner.scan(key, after, limit)).await
    }

    async fn move_head(
        &self,
        key: &SessionKey,
        expect: Token,
        head: Option<Seq>,
    ) -> Result<Session, MemoryError> {
        self.run(Operation::MoveHead, self.inner.move_head(key, expect, head)).await
    }

    async fn forget(&self, key: &SessionKey, forget: Forget) -> Result<Forgotten, MemoryError> {
        self.run(Operation::Forget, self.inner.forget(key, forget)).await
    }

    async fn forget_entry(&self, key: &SessionKey, seq: Seq) -> Result<Forgotten, MemoryError> {
        self.run(Operation::ForgetEntry, self.inner.forget_entry(key, seq)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Catalog for FaultyStore {
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError> {
        self.run(Operation::Create, self.inner.create(key, new)).await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, MemoryError> {
        self.run(Operation::Session, self.inner.session(key)).await
    }

    async fn list(&self, owner: &Owner, options: ListOptions) -> Result<Vec<Session>, MemoryError> {
        self.run(Operation::List, self.inner.list(owner, options)).await
    }

    async fn patch(
        &self,
        key: &SessionKey,
        patch: SessionPatch,
    ) -> Result<Option<Session>, MemoryError> {
        self.run(Operation::Patch, self.inner.patch(key, patch)).await
    }

    async fn keep_summary(
        &self,
        key: &SessionKey,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        self.run(Operation::KeepSummary, self.inner.keep_summary(key, edition, summary)).await
    }

    async fn summaries(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        self.run(Operation::Summaries, self.inner.summaries(key)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Portable for FaultyStore {
    async fn export(
        &self,
        owner: &Owner,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError> {
        let mut parts = self.run(Operation::Export, self.inner.export(owner)).await?;
        let mut shown = Vec::new();
        while let Some(part) = parts.next().await {
            let part = self.run(Operation::ExportPart, Box::pin(async { part })).await;
            let is_last = part.is_err();
            shown.push(part);
            if is_last {
                break;
            }
        }
        Ok(stream::iter(shown).boxed())
    }

    async fn restore(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        self.run(Operation::Restore, self.inner.restore(key, session)).await
    }

    async fn move_in(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        self.run(Operation::MoveIn, self.inner.move_in(key, session, turns)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Recall for FaultyStore {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        self.run(Operation::Search, self.inner.search(owner, search)).await
    }

    async fn unembedded(&self, model: &str, limit: usize) -> Result<Vec<Unembedded>, MemoryError> {
        self.run(Operation::Unembedded, self.inner.unembedded(model, limit)).await
    }

    async fn keep_embeddings(
        &self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError> {
        self.run(Operation::KeepEmbeddings, self.inner.keep_embeddings(model, embeddings)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Turns for FaultyStore {
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        self.run(Operation::Open, self.inner.open(open)).await
    }

    async fn take(&self, fence: Fence, lease: Duration) -> Result<TurnRecord, MemoryError> {
        self.run(Operation::Take, self.inner.take(fence, lease)).await
    }

    async fn renew(&self, fence: Fence, lease: Duration) -> Result<Signals, MemoryError> {
        self.run(Operation::Renew, self.inner.renew(fence, lease)).await
    }

    async fn checkpoint(&self, fence: Fence, checkpoint: Checkpoint) -> Result<(), MemoryError> {
        self.run(Operation::Checkpoint, self.inner.checkpoint(fence, checkpoint)).await
    }

    async fn close(&self, close: CloseTurn) -> Result<TurnRecord, MemoryError> {
        self.run(Operation::Close, self.inner.close(close)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl TurnIndex for FaultyStore {
    async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnRecord>, MemoryError> {
        self.run(Operation::Turn, self.inner.turn(owner, turn)).await
    }

    async fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        self.run(Operation::TurnByKey, self.inner.turn_by_key(owner, key)).await
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        self.run(Operation::RequestCancel, self.inner.request_cancel(owner, turn)).await
    }

    async fn unfinished(&self) -> Result<Vec<TurnRecord>, MemoryError> {
        self.run(Operation::Unfinished, self.inner.unfinished()).await
    }

    async fn lapsed(&self, limit: usize) -> Result<Vec<TurnRecord>, MemoryError> {
        self.run(Operation::Lapsed, self.inner.lapsed(limit)).await
    }

    async fn turns_of(&self, key: &SessionKey) -> Result<Vec<TurnRecord>, MemoryError> {
        self.run(Operation::TurnsOf, self.inner.turns_of(key)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upkeep for FaultyStore {
    async fn named(
        &self,
        owner: &Owner,
        options: ListOptions,
    ) -> Result<Vec<Session>, MemoryError> {
        self.run(Operation::Named, self.inner.named(owner, options)).await
    }

    async fn idle_since(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, MemoryError> {
        self.run(Operation::IdleSince, self.inner.idle_since(before, limit)).await
    }

    async fn prune_turns(&self, before: Timestamp) -> Result<u64, MemoryError> {
        self.run(Operation::PruneTurns, self.inner.prune_turns(before)).await
    }

    async fn unsettled(&self, limit: usize) -> Result<Vec<SessionKey>, MemoryError> {
        self.run(Operation::Unsettled, self.inner.unsettled(limit)).await
    }

    async fn settle(&self, key: &SessionKey) -> Result<(), MemoryError> {
        self.run(Operation::Settle, self.inner.settle(key)).await
    }

    async fn pending(&self, key: &SessionKey) -> Result<u64, MemoryError> {
        self.run(Operation::Pending, self.inner.pending(key)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MemoryStore for FaultyStore {
    fn capabilities(&self) -> MemoryCapabilities {
        self.inner.capabilities()
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        self.run(Operation::Health, self.inner.health()).await
    }
}
