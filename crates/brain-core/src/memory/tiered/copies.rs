//! Bringing the hot copies up to date, off the reply's path.
//!
//! Changes wait in a queue that is bounded in number and in bytes. One task works it off and ends
//! with it. A change that finds no room is dropped with all that waits for its session, and the copy
//! is not trusted any more.

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
    memory::{
        Branch, Draft, Entry, MemoryErrorKind, ReadFrom, ReadOptions, SessionPatch,
        in_memory::weight,
    },
};

/// Most changes that wait.
const MOST: usize = 1_024;
/// Most bytes that wait, as we estimate them.
const BYTES: usize = 16 << 20;

/// The changes that wait.
#[derive(Default)]
pub(super) struct Copies {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// What those take.
    bytes: usize,
    /// Whether a task works.
    is_worked: bool,
}

struct Waiting {
    key: SessionKey,
    change: Change,
    bytes: usize,
}

/// What to do about a session's copy.
pub(super) enum Change {
    /// Put this in place of it; it was read after the change of this number.
    Fill { copy: Box<Branch>, change: u64 },
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
        self.queue().drop_all(key);
    }

    /// The change to make now; `None` when none waits, and the task that asks ends.
    fn next(&self) -> Option<(SessionKey, Change)> {
        let mut queue = self.queue();
        let next = queue.waiting.pop_front();
        queue.is_worked = next.is_some();
        let Waiting { key, change, bytes } = next?;
        queue.bytes -= bytes;
        Some((key, change))
    }
}

impl Change {
    /// How many bytes it takes beside its name, roughly.
    fn weight(&self) -> usize {
        let sum = |entries: &[Entry]| entries.iter().map(weight::entry).sum::<usize>();
        match self {
            Self::Fill { copy, change: _ } => {
                let Branch { session, entries, summary } = &**copy;
                let summary = summary.as_ref().map_or(0, weight::summary);
                weight::session(session) + summary + sum(entries)
            }
            Self::Advance { entries, previous: _, token: _ } => sum(entries),
            Self::Evict | Self::Touch => 0,
        }
    }
}

impl Queue {
    /// Adds a change; returns whether there was room. Where there is none, nothing waits for the
    /// session any more.
    fn push(&mut self, key: &SessionKey, change: Change) -> bool {
        let has_room = self.add(key, change);
        if !has_room {
            self.drop_all(key);
        }
        has_room
    }

    fn add(&mut self, key: &SessionKey, change: Change) -> bool {
        let bytes = change.weight();
        if BYTES < self.bytes + bytes {
            return false;
        }
        let last = self.waiting.iter_mut().rev().find(|it| it.key == *key);
        let change = match last {
            Some(last) => match merge(&mut last.change, change) {
                Some(change) => change,
                None => {
                    last.bytes += bytes;
                    self.bytes += bytes;
                    return true;
                }
            },
            None => change,
        };
        if MOST <= self.waiting.len() {
            return false;
        }
        self.bytes += bytes;
        self.waiting.push_back(Waiting { key: key.clone(), change, bytes });
        true
    }

    fn drop_all(&mut self, key: &SessionKey) {
        self.waiting.retain(|it| it.key != *key);
        self.bytes = self.waiting.iter().map(|it| it.bytes).sum();
    }
}

/// Joins a change with the one that waits for the same session; returns what could not be joined.
fn merge(last: &mut Change, change: Change) -> Option<Change> {
    match (last, change) {
        (Change::Evict, Change::Evict) | (Change::Touch, Change::Touch) => None,
        (
            Change::Advance { token, entries, .. },
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
            self.later(key, Change::Fill { copy: Box::new(branch.clone()), change });
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
        while let Some((key, change)) = self.copies.next() {
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
        let _alone = self.hot.writing.lock().await;
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
        // What became of the copy meanwhile does not matter: it is advanced from one state only.
        let _alone = self.hot.writing.lock().await;
        let advance = self.hot.tier.advance(key, previous, &now, entries);
        if self.hot_copy(WRITE, advance).await.is_none() {
            self.known.distrust(key);
        }
    }

    async fn evict(self: &Arc<Self>, key: &SessionKey) {
        let _alone = self.hot.writing.lock().await;
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

#[cfg(test)]
mod tests {
    use super::{BYTES, Change, MOST, Queue, entries};
    use crate::{
        chat::Message,
        ids::{Owner, Seq, SessionId, SessionKey, Token},
        memory::{Branch, Draft, EntryBody, NewSession, Session},
        time::Timestamp,
    };

    const MIB: usize = 1 << 20;

    fn key(id: usize) -> SessionKey {
        SessionKey::new(Owner::local(), SessionId::new(id.to_string()).unwrap())
    }

    fn text(length: usize) -> Vec<super::Entry> {
        let message = Message::user("x".repeat(length));
        let body = EntryBody::complete(message, Timestamp::from_millis(0));
        entries(None, &[Draft::new(body).unwrap()], Some(Seq(1)))
    }

    fn advance(previous: Token, next: Token, length: usize) -> Change {
        Change::Advance { previous, token: Some(next), entries: text(length) }
    }

    fn fill(id: usize, length: usize) -> Change {
        let now = Timestamp::from_millis(0);
        let session = Session::new(key(id).id, NewSession::default(), now);
        let copy = Box::new(Branch { session, entries: text(length), summary: None });
        Change::Fill { copy, change: 1 }
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let mut queue = Queue::default();
        let taken = (0..40).filter(|it| queue.push(&key(*it), fill(*it, MIB))).count();
        assert_eq!(taken, 15, "a mebibyte each, and what holds it");
        assert!(queue.bytes <= BYTES);
        assert!(queue.push(&key(99), Change::Evict), "what takes no bytes finds room");
        queue.drop_all(&key(3));
        assert!(queue.push(&key(99), fill(99, MIB)));
        assert!(!queue.push(&key(100), fill(100, BYTES)));
    }

    #[test]
    fn what_is_joined_counts_and_goes_as_a_whole() {
        let mut queue = Queue::default();
        let tokens: Vec<Token> = (0..40).map(|_| Token::random()).collect();
        let steps = tokens.windows(2).map(|it| advance(it[0], it[1], MIB));
        let taken = steps.map_while(|it| queue.push(&key(1), it).then_some(())).count();
        assert_eq!(taken, 15);
        assert!(queue.waiting.is_empty(), "half of the way is no copy");
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded_in_number() {
        let mut queue = Queue::default();
        let taken = (0..2 * MOST).filter(|it| queue.push(&key(*it), Change::Evict)).count();
        assert_eq!((taken, queue.waiting.len()), (MOST, MOST));
        assert!(queue.push(&key(1), Change::Evict), "it waits already");
    }

    #[test]
    fn what_is_taken_out_makes_room() {
        let copies = super::Copies::default();
        assert!(copies.queue().push(&key(1), fill(1, MIB)));
        assert!(copies.next().is_some());
        assert_eq!(copies.queue().bytes, 0);
        assert!(copies.next().is_none());
    }
}
