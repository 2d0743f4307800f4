//! Bringing the hot copies up to date, off the reply's path.
//!
//! Changes wait in a bounded queue. One task works it off and ends with it. A change that finds no
//! room is dropped, and the copy is not trusted any more.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Tiers,
    hot::{READ, WRITE},
};
use crate::{
    ids::{Seq, SessionKey, Token},
    memory::{Branch, Draft, Entry, MemoryErrorKind, ReadFrom, ReadOptions, SessionPatch},
};

/// Most changes that wait.
const MOST: usize = 1_024;

/// The changes that wait.
#[derive(Default)]
pub(super) struct Copies {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(SessionKey, Change)>,
    /// Whether a task works.
    is_worked: bool,
}

/// What to do about a session's copy.
pub(super) enum Change {
    /// Put this in place of it; it was read after the change of this number.
    Fill { copy: Branch, change: u64 },
    /// Bring it from one state to the next.
    Advance {
        previous: Token,
        /// The next state; `None` if the append did not say.
        token: Option<Token>,
        entries: Vec<Entry>,
    },
    /// Drop it.
    Evict,
    /// No copy: an ephemeral session was used, which its empty durable one shows.
    Touch,
}

impl Copies {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what waits for a session.
    pub(super) fn drop_all(&self, key: &SessionKey) {
        self.queue().waiting.retain(|(it, _)| it != key);
    }
}

impl Queue {
    /// Adds a change; returns whether there was room.
    fn push(&mut self, key: &SessionKey, change: Change) -> bool {
        let last = self.waiting.iter_mut().rev().find(|(it, _)| it == key).map(|(_, it)| it);
        let Some(change) = merge(last, change) else { return true };
        if MOST <= self.waiting.len() {
            return false;
        }
        self.waiting.push_back((key.clone(), change));
        true
    }
}

/// Joins a change with the one that waits for the same session; returns what could not be joined.
fn merge(last: Option<&mut Change>, change: Change) -> Option<Change> {
    match (last, change) {
        (Some(Change::Evict), Change::Evict) | (Some(Change::Touch), Change::Touch) => None,
        (
            Some(Change::Advance { token, entries, .. }),
            Change::Advance { previous, token: next, entries: more },
        ) if *token == Some(previous) => {
            *token = next;
            entries.extend(more);
            None
        }
        (_, change) => Some(change),
    }
}

/// The entries that an append of `drafts` below `parent` made, whose last one is `last`.
pub(super) fn entries(parent: Option<Seq>, drafts: &[Draft], last: Option<Seq>) -> Vec<Entry> {
    let Some(last) = last else { return Vec::new() };
    let first = last.0.saturating_sub(drafts.len() as u64) + 1;
    let mut parent = parent;
    let place = |(seq, draft): (u64, &Draft)| {
        let seq = Seq(seq);
        Entry { seq, parent: parent.replace(seq), body: Arc::clone(draft.body()) }
    };
    (first..).zip(drafts).map(place).collect()
}

impl Tiers {
    /// The copy, if it is trusted and answers in time.
    pub(super) async fn copy(
        self: &Arc<Self>,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Option<Branch> {
        if !options.unverified || !self.known.trusts(key, self.clock.elapsed()) {
            return None;
        }
        let found = async {
            let found = self.hot.tier.cached(key, options).await;
            if found.as_ref().is_err_and(|it| !it.is_transient()) {
                self.drop_copy(key); // this one cannot be read, others can
            }
            found
        };
        self.hot_copy(READ, found).await.flatten()
    }

    /// Fills the copy with what the durable tier has answered, if that was asked for as one.
    pub(super) fn keep(
        self: &Arc<Self>,
        key: &SessionKey,
        options: ReadOptions,
        change: Option<u64>,
        branch: &Branch,
    ) {
        let is_copy = options.unverified && options.from == ReadFrom::Head && 0 < options.limit;
        if let Some(change) = change.filter(|_| is_copy && !self.hot.is_open()) {
            self.later(key, Change::Fill { copy: branch.clone(), change });
        }
    }

    /// Brings the copy from `previous` to what came next.
    pub(super) fn advance(
        self: &Arc<Self>,
        key: &SessionKey,
        previous: Option<Token>,
        token: Option<Token>,
        entries: Vec<Entry>,
    ) {
        if !self.known.trusts(key, self.clock.elapsed()) {
            return;
        }
        match previous {
            Some(previous) => self.later(key, Change::Advance { previous, token, entries }),
            None => self.later(key, Change::Evict),
        }
    }

    /// Drops the copy; nobody in this process reads it from now on.
    pub(super) fn drop_copy(self: &Arc<Self>, key: &SessionKey) {
        self.known.distrust(key);
        self.later(key, Change::Evict);
    }

    /// Makes a change later. Returns at once.
    pub(super) fn later(self: &Arc<Self>, key: &SessionKey, change: Change) {
        let mut queue = self.copies.queue();
        if !queue.push(key, change) {
            drop(queue);
            self.known.distrust(key);
            return;
        }
        if !queue.is_worked {
            queue.is_worked = true;
            let tiers = Arc::clone(self);
            self.spawner.spawn(Box::pin(async move { tiers.work_off().await }));
        }
    }

    async fn work_off(self: &Arc<Self>) {
        loop {
            let next = {
                let mut queue = self.copies.queue();
                let next = queue.waiting.pop_front();
                queue.is_worked = next.is_some();
                next
            };
            let Some((key, change)) = next else { return };
            let _alone = self.hot.writing.lock().await;
            self.make(&key, change).await;
        }
    }

    async fn make(self: &Arc<Self>, key: &SessionKey, change: Change) {
        match change {
            Change::Fill { copy, change } => self.fill(key, &copy, change).await,
            Change::Advance { previous, token, entries } => {
                self.make_advance(key, previous, token, &entries).await;
            }
            Change::Evict => self.evict(key).await,
            Change::Touch => match self.durable.patch(key, SessionPatch::default()).await {
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "an ephemeral session's time is behind"),
            },
        }
    }

    async fn fill(self: &Arc<Self>, key: &SessionKey, copy: &Branch, change: u64) {
        if self.known.change(key) != Some(change) {
            return;
        }
        let tier = &self.hot.tier;
        if self.hot_copy(WRITE, tier.evict(key)).await.is_some()
            && self.hot_copy(WRITE, tier.fill(key, copy)).await.is_some()
        {
            self.known.trust(key, change, self.clock.elapsed());
        }
    }

    async fn make_advance(
        self: &Arc<Self>,
        key: &SessionKey,
        previous: Token,
        token: Option<Token>,
        entries: &[Entry],
    ) {
        let now = self.durable.session(key).await.ok().flatten();
        let Some(now) = now.filter(|now| token.is_none_or(|it| it == now.token)) else {
            return self.evict(key).await;
        };
        let advance = self.hot.tier.advance(key, previous, &now, entries);
        if self.hot_copy(WRITE, advance).await.is_none() {
            self.known.distrust(key);
        }
    }

    async fn evict(self: &Arc<Self>, key: &SessionKey) {
        if self.hot_copy(WRITE, self.hot.tier.evict(key)).await.is_none() {
            self.known.distrust(key);
        }
    }

    /// Drops the copy before it is answered; returns whether that is sure.
    pub(super) async fn evict_now(self: &Arc<Self>, key: &SessionKey) -> bool {
        self.copies.drop_all(key);
        let _alone = self.hot.writing.lock().await;
        self.hot_copy(WRITE, self.hot.tier.evict(key)).await.is_some()
    }

    /// After an append that expected a state: another one means that the copy is old.
    pub(super) fn check(self: &Arc<Self>, key: &SessionKey, kind: MemoryErrorKind) {
        if kind == MemoryErrorKind::Conflict {
            self.drop_copy(key);
        }
    }
}
