//! Copies of sessions in the memory of the process, the least recently used out first.
//!
//! It holds what another store holds too, so it may drop anything at any time. It is no store: it
//! acknowledges nothing, and ends with the process.

mod burials;
mod kept;
mod recent;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

pub(super) use self::recent::Recent;
use self::{burials::Burials, kept::Kept};
use super::{Branch, Entry, Forgotten, MemoryError, ReadOptions, Session, SessionCache, TakenOver};
use crate::{
    ids::{Owner, SessionKey, Token},
    time::Clock,
};

/// Copies in this process, bounded in bytes.
///
/// Entries are shared with whoever filled or reads the copy, never copied.
pub struct LocalCache {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    copies: Recent<SessionKey, Kept>,
    burials: Burials,
    /// What the copies weigh.
    bytes: usize,
    limit: usize,
}

impl LocalCache {
    /// An empty cache of at most `limit` bytes, as we estimate them; burials go by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, limit: usize) -> Self {
        let (copies, burials) = (Recent::default(), Burials::default());
        Self { clock, state: Mutex::new(State { copies, burials, bytes: 0, limit }) }
    }

    /// Makes room for what else lives on the same budget.
    pub(super) fn resize(&self, limit: usize) {
        let mut state = self.state();
        state.limit = limit;
        state.shrink();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, key: SessionKey, copy: Kept) {
        self.bytes += copy.bytes();
        self.copies.insert(key, copy);
        self.shrink();
    }

    fn take(&mut self, key: &SessionKey) -> Option<Kept> {
        let copy = self.copies.remove(key)?;
        self.bytes -= copy.bytes();
        Some(copy)
    }

    fn shrink(&mut self) {
        while self.limit < self.bytes
            && let Some((_, copy)) = self.copies.pop_oldest()
        {
            self.bytes -= copy.bytes();
        }
    }
}

impl fmt::Debug for LocalCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let (copies, bytes) = (state.copies.len(), state.bytes);
        f.debug_struct("LocalCache")
            .field("copies", &copies)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionCache for LocalCache {
    async fn cached(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        Ok(self.state().copies.get(key).and_then(|it| it.read(options)))
    }

    async fn fill(&self, key: &SessionKey, copy: &Branch) -> Result<(), MemoryError> {
        let mut state = self.state();
        let buried = state.burials.covers(key, copy.session.created_at, self.clock.now());
        if let Some(copy) = Kept::of(copy)
            && !buried
            && state.copies.get(key).is_none()
        {
            state.put(key.clone(), copy);
        }
        Ok(())
    }

    async fn advance(
        &self,
        key: &SessionKey,
        previous: Token,
        session: &Session,
        entries: &[Entry],
    ) -> Result<(), MemoryError> {
        let mut state = self.state();
        let held = state.take(key).filter(|it| it.token() == previous);
        if let Some(copy) = held.and_then(|it| it.advanced(session, entries)) {
            state.put(key.clone(), copy);
        }
        Ok(())
    }

    async fn evict(&self, key: &SessionKey) -> Result<(), MemoryError> {
        drop(self.state().take(key));
        Ok(())
    }

    async fn bury(&self, key: &SessionKey) -> Result<Forgotten, MemoryError> {
        let mut state = self.state();
        state.burials.add(key.clone(), self.clock.now());
        let erased = state.take(key).map_or(0, |it| it.len());
        Ok(Forgotten { erased, pending: 0 })
    }

    async fn take_over(&self, _owner: &Owner) -> Result<TakenOver, MemoryError> {
        Ok(TakenOver::default()) // it is of this process, which has one store
    }
}
