//! The cache under test, and short ways to say what cases say often.

use std::sync::Arc;

use brain_core::{
    chat::Message,
    ids::{Owner, Seq, SessionId, SessionKey, Token},
    memory::{Branch, Entry, EntryBody, NewSession, ReadOptions, Session, SessionCache, Summary},
    time::{Clock, Timestamp},
};

use crate::ManualClock;

/// A cache under test and the clock that it goes by.
#[derive(Clone, Debug)]
pub struct CacheSubject {
    pub(super) cache: Arc<dyn SessionCache>,
    pub(super) clock: Arc<ManualClock>,
}

/// A session of one owner.
pub(super) fn key(id: &str) -> SessionKey {
    SessionKey::new(Owner::new("ann").unwrap(), SessionId::new(id).unwrap())
}

/// An entry of one message.
pub(super) fn entry(seq: u64, parent: Option<u64>, text: &str) -> Entry {
    entry_of(seq, parent, Message::user(text))
}

/// An entry of any message.
pub(super) fn entry_of(seq: u64, parent: Option<u64>, message: Message) -> Entry {
    let body = EntryBody::complete(message, Timestamp::from_millis(0));
    Entry { seq: Seq(seq), parent: parent.map(Seq), body: Arc::new(body) }
}

/// Entries of these positions, each the parent of the next.
pub(super) fn chain(positions: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    let parent = |seq: u64| (1 < seq).then(|| seq - 1);
    positions.map(|seq| entry(seq, parent(seq), &format!("entry {seq}"))).collect()
}

/// The session in its next state, with this head.
pub(super) fn next(session: &Session, head: Option<u64>, entries: u64) -> Session {
    Session { head: head.map(Seq), entries, token: Token::random(), ..session.clone() }
}

/// A summary made at this entry.
pub(super) fn summary(at: u64) -> Summary {
    let (text, model) = (format!("up to {at}"), Some("m".to_owned()));
    Summary { at: Seq(at), text, model, created_at: Timestamp::from_millis(7) }
}

/// Where the entries stand.
pub(super) fn positions(branch: &Branch) -> Vec<u64> {
    branch.entries.iter().map(|it| it.seq.0).collect()
}

impl CacheSubject {
    pub(super) fn new(cache: Arc<dyn SessionCache>, clock: Arc<ManualClock>) -> Self {
        Self { cache, clock }
    }

    /// A copy of a session made now, with these entries at its head.
    pub(super) fn copy(&self, key: &SessionKey, entries: Vec<Entry>) -> Branch {
        let made = Session::new(key.id.clone(), NewSession::default(), self.clock.now());
        let head = entries.last().map(|it| it.seq.0);
        let session = next(&made, head, head.unwrap_or_default());
        Branch { session, entries, summary: None }
    }

    /// Fills such a copy, and returns it.
    pub(super) async fn filled(&self, key: &SessionKey, entries: Vec<Entry>) -> Branch {
        let copy = self.copy(key, entries);
        self.cache.fill(key, &copy).await.unwrap();
        assert!(self.newest(key, 0).await.is_some(), "it was not filled");
        copy
    }

    /// What the cache answers of the newest entries.
    pub(super) async fn newest(&self, key: &SessionKey, limit: usize) -> Option<Branch> {
        self.cache.cached(key, ReadOptions::newest(limit)).await.unwrap()
    }

    /// What the cache answers of the branch that ends with `last`.
    pub(super) async fn from(&self, key: &SessionKey, last: u64, limit: usize) -> Option<Branch> {
        self.cache.cached(key, ReadOptions::of_branch(Seq(last), limit)).await.unwrap()
    }
}
