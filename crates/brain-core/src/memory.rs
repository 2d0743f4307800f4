//! The memory port: sessions as append-only trees, the turns that grow them, and search.
//!
//! It is a contract, not a database. The contract is `brain_testkit::memory_store_suite!`; every
//! implementation and every wrapper passes it, [`InMemoryStore`] first.
//!
//! [`MemoryStore`] is the sum of small traits, so that a caller can ask for no more than it needs:
//! [`SessionLog`] (append, read, forget), [`Catalog`] (which sessions there are), [`Portable`]
//! (export and import), [`Recall`] (search), [`Turns`] and [`TurnIndex`] (turns as stored records),
//! [`Upkeep`] (what background work asks). [`SessionCache`] is what a hot tier does besides.

mod abandoned;
mod cache;
mod entry;
mod error;
mod fork;
mod health;
mod in_memory;
mod local_cache;
mod portable;
mod search;
mod session;
mod tiered;
mod tool_round;
mod turns;

use std::fmt;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::Serialize;

pub(crate) use self::{abandoned::CLOSING_STEP, tool_round::round};
pub use self::{
    cache::{HotTier, SessionCache, TakenOver},
    entry::{Draft, Entry, EntryBody, EntryError, EntryStatus, FormatVersion},
    error::{MemoryError, MemoryErrorKind},
    fork::fork,
    health::{Health, TierHealth},
    in_memory::InMemoryStore,
    local_cache::LocalCache,
    portable::{
        Document, ExportPart, ExportedEntry, ExportedHead, ExportedSession, ImportError,
        ImportErrorKind, ImportItem, ImportReader, ImportReport, Importer, LastLine, Notes,
        OnConflict, Place, Refused, Renamed, Skipped, TreeError, export, export_by_scan, import,
    },
    search::{Embedded, Hit, QueryVector, Search, Unembedded},
    session::{
        Append, Appended, Branch, DefaultTitle, Edition, Expect, Forget, Forgotten, ListOptions,
        MemoryClass, NewSession, PageKey, ReadFrom, ReadOptions, Restored, Session, SessionPatch,
        Summary,
    },
    tiered::{TieredMemory, TieredPorts},
    tool_round::inside_tool_round,
    turns::{
        Authority, CallRecord, CallState, Checkpoint, CloseTurn, Fence, Idempotency, OpenTurn,
        Opened, Signals, TurnError, TurnRecord, TurnState,
    },
};
use crate::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, Token, TurnId},
    time::Timestamp,
};

/// The entries of sessions.
///
/// Dropping a returned future leaves all of the operation done or nothing.
#[async_trait]
pub trait SessionLog: fmt::Debug + Send + Sync + 'static {
    /// Adds entries below `append.parent`, each the parent of the next, all or none.
    ///
    /// These are checked, in this order:
    ///
    /// 1. A known [`Append::append_id`] returns its first result and writes nothing. Ids are
    ///    known as long as the session is.
    /// 2. The turn of [`Append::fence`] is running, belongs to the session and has that holder;
    ///    a lapsed lease that nobody took still holds. Without a fence no turn may be open.
    /// 3. The session is as [`Append::expect`] says. Only [`Expect::Absent`] makes a session that
    ///    does not exist, as [`NewSession::default`] has it.
    /// 4. The parent exists.
    /// 5. The head, if it moves, does not come to stand [inside a tool round](inside_tool_round).
    ///
    /// The session then has a new token. Entries appended under a fence become the turn's
    /// [`Checkpoint::tail`], and empty its text, reasoning and calls, which they now hold.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Superseded`] when the fence is not held, [`MemoryErrorKind::Conflict`]
    /// when a turn is open or the session is not as expected, [`MemoryErrorKind::UnknownParent`],
    /// [`MemoryErrorKind::InsideToolRound`], [`MemoryErrorKind::OutcomeUnknown`] when the backend
    /// did not say whether it happened.
    async fn append(&self, key: &SessionKey, append: Append) -> Result<Appended, MemoryError>;

    /// The session, and the newest entries of one branch, oldest first; `None` if there is no such
    /// session. Costs what it returns, however long the history is.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::UnknownParent`] when [`ReadFrom::Entry`] names no entry of the session.
    async fn read(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError>;

    /// At most `limit` entries of all branches after position `after`, by position; empty if there
    /// is no such session.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn scan(
        &self,
        key: &SessionKey,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, MemoryError>;

    /// Chooses the entry after which the next append goes; `None` is before the first.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Conflict`] when there is no session of this token or a turn is open,
    /// [`MemoryErrorKind::UnknownParent`] when there is no such entry,
    /// [`MemoryErrorKind::InsideToolRound`] when the entry lies inside a tool round.
    async fn move_head(
        &self,
        key: &SessionKey,
        expect: Token,
        head: Option<Seq>,
    ) -> Result<Session, MemoryError>;

    /// Erases a session with its entries, summaries, turns, append ids and idempotency keys, an
    /// open turn too, if the session is as `forget` says. Erasing an unknown session succeeds, and
    /// tells what is still pending.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Conflict`] when the session is not as `forget` says; then nothing is
    /// erased.
    async fn forget(&self, key: &SessionKey, forget: Forget) -> Result<Forgotten, MemoryError>;

    /// Erases what one entry says; [what is left](EntryBody::forgotten) keeps its place in the
    /// tree. Every summary made there or at a later position goes too, and so does the record of
    /// the turn that it was the input of; the session has a new token and [edition](Session::edition).
    /// Erasing an unknown entry, or one that was erased before, succeeds.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Conflict`] when a turn of the session is open.
    async fn forget_entry(&self, key: &SessionKey, seq: Seq) -> Result<Forgotten, MemoryError>;
}

/// Which sessions there are.
#[async_trait]
pub trait Catalog: fmt::Debug + Send + Sync + 'static {
    /// Makes an empty session.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Conflict`] when it exists.
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError>;

    /// One session without its entries; `None` if there is no such session.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, MemoryError>;

    /// The owner's sessions, by (created, id), newest first.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn list(&self, owner: &Owner, options: ListOptions) -> Result<Vec<Session>, MemoryError>;

    /// Changes title, metadata, system prompt, model or recall, but not the token; `None` if there is no
    /// such session.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn patch(
        &self,
        key: &SessionKey,
        patch: SessionPatch,
    ) -> Result<Option<Session>, MemoryError>;

    /// Keeps a summary in place of one that was made at the same entry. Changes neither the token
    /// nor the times of the session. `edition` is the session's from before that was read which the
    /// summary was made of: it may repeat what was forgotten since.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Conflict`] when there is no session of this edition,
    /// [`MemoryErrorKind::UnknownParent`] when it has no such entry.
    async fn keep_summary(
        &self,
        key: &SessionKey,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError>;

    /// The session's summaries, by position; empty if there is no such session.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn summaries(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError>;
}

/// Moving sessions out of a store and into one.
#[async_trait]
pub trait Portable: fmt::Debug + Send + Sync + 'static {
    /// Everything the owner has: sessions by (created, id), oldest first, each followed by its
    /// entries by position, and each as it was at one moment. An open turn is not part of a
    /// session. The first error is the last item; a slow reader holds up nobody.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn export(
        &self,
        owner: &Owner,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError>;

    /// Puts an exported session back, with its positions, branches and times, all or nothing: what
    /// is there already must be equal, and what is there as a prefix is extended, as
    /// [`ExportedSession::compare`] says. `key` names it; the exported id does not matter.
    ///
    /// # Errors
    ///
    /// Those of [`ExportedSession::check_tree`], then [`MemoryErrorKind::Conflict`] when the
    /// session exists with other content or has an open turn.
    async fn restore(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
    ) -> Result<Restored, MemoryError>;

    /// [Restores](Self::restore) a session of another store with the turns that it has there, which
    /// are over, and their idempotency keys, all or nothing. Exports have no turns, so that no file
    /// brings any in. A turn of an id that is known here stays as it is, and of two turns of one key
    /// the one that was opened later has it. [`Restored`] tells of the session alone.
    ///
    /// # Errors
    ///
    /// Those of [`Self::restore`]; [`MemoryErrorKind::Conflict`] when a turn is not over.
    async fn move_in(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError>;
}

/// Search over everything that an owner has said.
#[async_trait]
pub trait Recall: fmt::Debug + Send + Sync + 'static {
    /// The owner's entries that fit a query best, best first; none for a query without a word.
    ///
    /// # Errors
    ///
    /// Only backend failures; no query is malformed.
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError>;

    /// Entries of all owners that can be found but have no embedding of `model`, oldest first.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn unembedded(&self, model: &str, limit: usize) -> Result<Vec<Unembedded>, MemoryError>;

    /// Keeps embeddings that `model` made; those of entries that are gone are dropped.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn keep_embeddings(
        &self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError>;
}

/// Turns as stored records: lease, fence, idempotency, checkpoint and recovery are this one thing.
#[async_trait]
pub trait Turns: fmt::Debug + Send + Sync + 'static {
    /// Appends the user's entry and opens the turn, in one transaction.
    ///
    /// In this order:
    ///
    /// 1. A turn of this id that was opened with this append id answers [`Opened::Started`] again,
    ///    so that a lost reply is resolved by asking again.
    /// 2. A known idempotency key answers [`Opened::Known`].
    /// 3. An open turn of the session answers [`Opened::Busy`].
    /// 4. The append happens as [`SessionLog::append`] says, but a session that does not exist is
    ///    made only if [`OpenTurn::create`] is given. The turn runs and holds a lease; its
    ///    [`Checkpoint::tail`] is where the append ended.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::KeyReused`] when the key is known with another request hash, and the
    /// errors of [`SessionLog::append`]; [`MemoryErrorKind::Conflict`] when another turn has the id.
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError>;

    /// Holds an open turn that waits without a lease, or whose lease has lapsed, or that the
    /// holder holds already. The turn runs again, and does not wait.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Superseded`] when the turn is over or another holder's lease lives.
    async fn take(
        &self,
        fence: Fence,
        lease: std::time::Duration,
    ) -> Result<TurnRecord, MemoryError>;

    /// Holds the lease for `lease` from now, and fetches what was asked of the turn meanwhile.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Superseded`] when the turn is over, waits, or is held by another.
    async fn renew(&self, fence: Fence, lease: std::time::Duration)
    -> Result<Signals, MemoryError>;

    /// Keeps what there is of the answer. A checkpoint that waits gives the lease up: nobody holds
    /// a waiting turn, until it is [taken](Self::take).
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Superseded`] when the turn is over, waits, or is held by another.
    async fn checkpoint(&self, fence: Fence, checkpoint: Checkpoint) -> Result<(), MemoryError>;

    /// Ends the turn and appends its answer, in one transaction.
    ///
    /// Ending it again with the same append id returns the first result. An [`Authority::Holder`]
    /// must hold the turn as a fence does; [`Authority::Lapsed`] ends a running turn whose lease
    /// is over; [`Authority::Exclusive`] ends any open turn. What the answer holds leaves the
    /// checkpoint: only its tail and last event stay. Without drafts there is no answer.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Superseded`] when [`CloseTurn::authority`] does not reach, the turn is
    /// over already or was forgotten, or [`CloseTurn::state`] is an open one, and the errors of
    /// [`SessionLog::append`].
    async fn close(&self, close: CloseTurn) -> Result<TurnRecord, MemoryError>;
}

/// Finding turns.
#[async_trait]
pub trait TurnIndex: fmt::Debug + Send + Sync + 'static {
    /// One turn of the owner.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnRecord>, MemoryError>;

    /// The turn that a request with this idempotency key opened. Keys are kept for 24 hours from
    /// then, or until their session is forgotten; then they are free.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<TurnRecord>, MemoryError>;

    /// Asks whoever holds the turn to stop, if it is open; returns the record, `None` if there is
    /// no such turn.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn request_cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnRecord>, MemoryError>;

    /// All turns of all owners that are not over; for recovery.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn unfinished(&self) -> Result<Vec<TurnRecord>, MemoryError>;

    /// At most `limit` running turns of all owners whose leases have lapsed. Looks at a bounded
    /// number of turns: what one call does not come to, a later one does.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn lapsed(&self, limit: usize) -> Result<Vec<TurnRecord>, MemoryError>;

    /// All turns of the session whose records are kept, by when they were opened; none if there is
    /// no such session.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn turns_of(&self, key: &SessionKey) -> Result<Vec<TurnRecord>, MemoryError>;
}

/// What background work asks, across owners.
#[async_trait]
pub trait Upkeep: fmt::Debug + Send + Sync + 'static {
    /// What [`Catalog::list`] gives, and the sessions whose content has expired but whose names are
    /// kept: forgetting all that an owner has goes by it.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn named(&self, owner: &Owner, options: ListOptions)
    -> Result<Vec<Session>, MemoryError>;

    /// Sessions without an open turn that have not changed since `before`, the longest first.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn idle_since(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, MemoryError>;

    /// Drops the records of turns that ended before then; returns how many that were.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn prune_turns(&self, before: Timestamp) -> Result<u64, MemoryError>;

    /// Sessions that were forgotten here and may have copies elsewhere.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn unsettled(&self, limit: usize) -> Result<Vec<SessionKey>, MemoryError>;

    /// Notes that a forgotten session has no copies elsewhere.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn settle(&self, key: &SessionKey) -> Result<(), MemoryError>;

    /// How many copies of what was forgotten of the session may still be there, as
    /// [`Forgotten::pending`] counts them; 0 if nothing was forgotten. Changes nothing, also where
    /// a new session has the name by now.
    ///
    /// # Errors
    ///
    /// Only backend failures.
    async fn pending(&self, key: &SessionKey) -> Result<u64, MemoryError>;
}

/// What a store can do beyond the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryCapabilities {
    /// What was acknowledged outlives the process.
    pub durable: bool,
    /// Several daemons may use the same data at once.
    pub shared: bool,
    /// Sessions of class [`MemoryClass::Ephemeral`] end by themselves.
    pub ephemeral: bool,
}

/// All of memory.
///
/// # Wrappers
///
/// A type that wraps another store forwards *every* method and carries
/// `#[deny(clippy::missing_trait_methods)]`.
#[async_trait]
pub trait MemoryStore:
    SessionLog + Catalog + Portable + Recall + Turns + TurnIndex + Upkeep
{
    /// What this store can do beyond the contract.
    fn capabilities(&self) -> MemoryCapabilities;

    /// How the store is, if a turn could be acknowledged now.
    ///
    /// # Errors
    ///
    /// The error that a turn would meet.
    async fn health(&self) -> Result<Health, MemoryError>;
}
