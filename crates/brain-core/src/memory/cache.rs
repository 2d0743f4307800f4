//! What a hot tier does for another store: it keeps copies of the newest entries of sessions.
//!
//! A copy may be missing, and may be of an earlier state; it never mixes two states. Whoever reads
//! one checks its token.

use std::fmt;

use async_trait::async_trait;

use super::{Branch, Entry, Forgotten, MemoryError, MemoryStore, ReadOptions, Session};
use crate::ids::{Owner, SessionId, SessionKey, Token};

/// What taking over sessions came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// How many sessions are its own now that were not before.
    pub sessions: u64,
    /// Which stay for now, since somebody holds a turn of theirs.
    pub busy: Vec<SessionId>,
}

/// Copies of sessions.
///
/// A failing cache costs time and nothing else: its errors are never the caller's.
#[async_trait]
pub trait SessionCache: fmt::Debug + Send + Sync + 'static {
    /// The copy; `None` if there is none, or if it does not reach as far back as `limit` asks.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn cached(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError>;

    /// Keeps a copy of the newest entries of the head's branch, if there is none, and if the
    /// session was not [buried](Self::bury) after it was made.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn fill(&self, key: &SessionKey, copy: &Branch) -> Result<(), MemoryError>;

    /// Brings a copy of state `previous` to the state of `session`, which has these new entries;
    /// drops a copy of any other state.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn advance(
        &self,
        key: &SessionKey,
        previous: Token,
        session: &Session,
        entries: &[Entry],
    ) -> Result<(), MemoryError>;

    /// Drops the copy.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn evict(&self, key: &SessionKey) -> Result<(), MemoryError>;

    /// Erases the copy, and what of the name waits to be [taken over](Self::take_over); for a day
    /// refuses copies of a session that was made before now.
    ///
    /// # Errors
    ///
    /// Only backend failures; then the copy may still be there.
    async fn bury(&self, key: &SessionKey) -> Result<Forgotten, MemoryError>;

    /// Makes sessions its own which it has kept for the owner in a time when it was in front of no
    /// other store, and which are apart from its own until then. Where several do so at once, each
    /// session goes to one of them. One whose name is taken stays, and one with a turn of which the
    /// lease lives stays for now.
    ///
    /// # Errors
    ///
    /// Only backend failures; then some may be its own already.
    async fn take_over(&self, owner: &Owner) -> Result<TakenOver, MemoryError>;
}

/// A tier in front of a durable one: it holds copies of durable sessions, and ephemeral sessions
/// whole.
pub trait HotTier: MemoryStore + SessionCache {}

impl<T: MemoryStore + SessionCache> HotTier for T {}
