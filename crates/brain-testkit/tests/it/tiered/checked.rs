//! A tiered store whose every read is also asked for unverified, and compared.

use std::time::Duration;

use async_trait::async_trait;
use brain_core::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, Token, TurnId},
    memory::{
        Append, Appended, Branch, Catalog, Checkpoint, CloseTurn, Edition, Embedded, Entry,
        ExportPart, ExportedSession, Fence, Forget, Forgotten, Health, Hit, ListOptions,
        MemoryCapabilities, MemoryClass, MemoryError, MemoryStore, NewSession, OpenTurn, Opened,
        Portable, ReadOptions, Recall, Restored, Search, Session, SessionLog, SessionPatch,
        Signals, Summary, TieredMemory, TurnIndex, TurnRecord, Turns, Unembedded, Upkeep,
    },
    time::Timestamp,
};
use futures_util::stream::BoxStream;

/// The store, and whether its hot tier can hold ephemeral sessions.
///
/// Where it cannot, they are durable ones here that are said to be ephemeral: the cases that make
/// one are about something else.
#[derive(Debug)]
pub(super) struct Checked {
    store: TieredMemory,
    has_ephemeral: bool,
    said_ephemeral: std::sync::Mutex<Vec<SessionKey>>,
}

impl Checked {
    pub(super) fn new(store: TieredMemory, has_ephemeral: bool) -> Self {
        Self { store, has_ephemeral, said_ephemeral: std::sync::Mutex::default() }
    }

    /// What an unverified read says is what the session was, or is, in the state that it names.
    async fn compare(&self, key: &SessionKey, options: ReadOptions, sure: &Branch) {
        let hasty = self.store.read(key, options.unverified()).await;
        let again = self.store.read(key, options).await;
        let (Ok(Some(hasty)), Ok(Some(again))) = (hasty, again) else { return };
        if again == *sure && hasty.session.token == sure.session.token {
            assert_eq!(hasty, *sure);
        }
    }
}

#[async_trait]
impl SessionLog for Checked {
    async fn append(&self, key: &SessionKey, append: Append) -> Result<Appended, MemoryError> {
        // Both tiers are in the process: a writer that never waits would keep others from running.
        tokio::task::yield_now().await;
        self.store.append(key, append).await
    }

    async fn read(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        let sure = self.store.read(key, options).await?;
        if let Some(sure) = &sure {
            self.compare(key, options, sure).await;
        }
        Ok(sure)
    }

    async fn scan(
        &self,
        key: &SessionKey,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, MemoryError> {
        self.store.scan(key, after, limit).await
    }

    async fn move_head(
        &self,
        key: &SessionKey,
        expect: Token,
        head: Option<Seq>,
    ) -> Result<Session, MemoryError> {
        self.store.move_head(key, expect, head).await
    }

    async fn forget(&self, key: &SessionKey, forget: Forget) -> Result<Forgotten, MemoryError> {
        self.store.forget(key, forget).await
    }

    async fn forget_entry(&self, key: &SessionKey, seq: Seq) -> Result<Forgotten, MemoryError> {
        self.store.forget_entry(key, seq).await
    }
}

#[async_trait]
impl Catalog for Checked {
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError> {
        if self.has_ephemeral || new.class == MemoryClass::Durable {
            return self.store.create(key, new).await;
        }
        self.said_ephemeral.lock().unwrap().push(key.clone());
        self.store.create(key, NewSession { class: MemoryClass::Durable, ..new }).await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, MemoryError> {
        drop(self.store.read(key, ReadOptions::newest(256).unverified()).await);
        let mut session = self.store.session(key).await?;
        if self.said_ephemeral.lock().unwrap().contains(key) {
            session.iter_mut().for_each(|it| it.class = MemoryClass::Ephemeral);
        }
        Ok(session)
    }

    async fn list(&self, owner: &Owner, options: ListOptions) -> Result<Vec<Session>, MemoryError> {
        self.store.list(owner, options).await
    }

    async fn patch(
        &self,
        key: &SessionKey,
        patch: SessionPatch,
    ) -> Result<Option<Session>, MemoryError> {
        self.store.patch(key, patch).await
    }

    async fn keep_summary(
        &self,
        key: &SessionKey,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        self.store.keep_summary(key, edition, summary).await
    }

    async fn summaries(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        self.store.summaries(key).await
    }
}

#[async_trait]
impl Portable for Checked {
    async fn export(
        &self,
        owner: &Owner,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError> {
        self.store.export(owner).await
    }

    async fn restore(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        self.store.restore(key, session).await
    }

    async fn move_in(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        self.store.move_in(key, session, turns).await
    }
}

#[async_trait]
impl Recall for Checked {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        self.store.search(owner, search).await
    }

    async fn unembedded(&self, model: &str, limit: usize) -> Result<Vec<Unembedded>, MemoryError> {
        self.store.unembedded(model, limit).await
    }

    async fn keep_embeddings(
        &self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError> {
        self.store.keep_embeddings(model, embeddings).await
    }
}

#[async_trait]
impl Turns for Checked {
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        self.store.open(open).await
    }

    async fn take(&self, fence: Fence, lease: Duration) -> Result<TurnRecord, MemoryError> {
        self.store.take(fence, lease).await
    }

    async fn renew(&self, fence: Fence, lease: Duration) -> Result<Signals, MemoryError> {
        self.store.renew(fence, lease).await
    }

    async fn checkpoint(&self, fence: Fence, checkpoint: Checkpoint) -> Result<(), MemoryError> {
        self.store.checkpoint(fence, checkpoint).await
    }

    async fn close(&self, close: CloseTurn) -> Result<TurnRecord, MemoryError> {
        self.store.close(close).await
    }
}

#[async_trait]
impl TurnIndex for Checked {
    async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnRecord>, MemoryError> {
        self.store.turn(owner, turn).await
    }

    async fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        self.store.turn_by_key(owner, key).await
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        self.store.request_cancel(owner, turn).await
    }

    async fn unfinished(&self) -> Result<Vec<TurnRecord>, MemoryError> {
        self.store.unfinished().await
    }

    async fn lapsed(&self, limit: usize) -> Result<Vec<TurnRecord>, MemoryError> {
        self.store.lapsed(limit).await
    }

    async fn turns_of(&self, key: &SessionKey) -> Result<Vec<TurnRecord>, MemoryError> {
        self.store.turns_of(key).await
    }
}

#[async_trait]
impl Upkeep for Checked {
    async fn named(
        &self,
        owner: &Owner,
        options: ListOptions,
    ) -> Result<Vec<Session>, MemoryError> {
        self.store.named(owner, options).await
    }

    async fn idle_since(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, MemoryError> {
        self.store.idle_since(before, limit).await
    }

    async fn prune_turns(&self, before: Timestamp) -> Result<u64, MemoryError> {
        self.store.prune_turns(before).await
    }

    async fn unsettled(&self, limit: usize) -> Result<Vec<SessionKey>, MemoryError> {
        self.store.unsettled(limit).await
    }

    async fn settle(&self, key: &SessionKey) -> Result<(), MemoryError> {
        self.store.settle(key).await
    }

    async fn pending(&self, key: &SessionKey) -> Result<u64, MemoryError> {
        self.store.pending(key).await
    }
}

#[async_trait]
impl MemoryStore for Checked {
    fn capabilities(&self) -> MemoryCapabilities {
        self.store.capabilities()
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        let mut health = self.store.health().await?;
        if !self.has_ephemeral {
            // The tier that decides is well; the other one is not, and is said not to be.
            health.tiers.truncate(1);
        }
        Ok(health)
    }
}
