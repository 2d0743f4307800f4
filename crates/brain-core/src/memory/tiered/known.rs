//! What this process knows of sessions and turns: a bounded memory that may forget anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    ids::{SessionKey, Token, TurnId},
    memory::{MemoryClass, TurnRecord, local_cache::Recent},
    time::Timestamp,
};

/// Most sessions that are known.
const SESSIONS: usize = 16_384;
/// Most turns that are known.
const TURNS: usize = 4_096;
/// Most sessions whose copies are to be dropped once the hot tier is back.
const OWED: usize = 10_000;
/// How long a forgotten session is noted for callers.
const UNSETTLED: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a copy is trusted.
const TRUST: Duration = Duration::from_secs(60);

/// What is known of sessions and turns.
pub(super) struct Known {
    state: Mutex<State>,
    /// Whether nobody else writes to the durable tier, so that a class once seen stays.
    alone: bool,
}

#[derive(Default)]
struct State {
    sessions: Recent<SessionKey, KnownSession>,
    turns: Recent<TurnId, KnownTurn>,
    /// Changes that no token tells of, in all.
    changes: u64,
    /// Sessions made, forgotten, or changed while they were not known, in all.
    epoch: u64,
    owed: BTreeSet<SessionKey>,
    /// Sessions forgotten of which a caller may know copies elsewhere, and when that was.
    forgotten: BTreeMap<SessionKey, Timestamp>,
}

struct KnownSession {
    class: MemoryClass,
    /// The change that no token tells of, as far as this process has made one.
    change: u64,
    trusted_until: Option<Duration>,
}

/// Where a turn is, and how its session was when it last wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownTurn {
    pub(super) class: MemoryClass,
    /// The session's state, if this process has brought it about for the turn.
    pub(super) token: Option<Token>,
}

impl Known {
    pub(super) fn new(alone: bool) -> Self {
        Self { state: Mutex::default(), alone }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn class(&self, key: &SessionKey) -> Option<MemoryClass> {
        if !self.alone {
            return None;
        }
        self.state().sessions.get(key).map(|it| it.class)
    }

    /// A moment, for [`Self::learn`].
    pub(super) fn epoch(&self) -> u64 {
        self.state().epoch
    }

    /// Notes a class that was seen after the moment of `epoch`, unless a session was made, forgotten
    /// or changed unknown since. Returns the number of the session's last change if it was not
    /// known before: what was seen is from after it.
    pub(super) fn learn(&self, epoch: u64, key: &SessionKey, class: MemoryClass) -> Option<u64> {
        let mut state = self.state();
        if state.epoch == epoch { state.learn(key, class) } else { None }
    }

    /// Notes that this process has made the session.
    pub(super) fn made(&self, key: &SessionKey, class: MemoryClass) {
        let mut state = self.state();
        state.epoch += 1;
        state.learn(key, class);
    }

    /// Notes that this process has forgotten the session.
    pub(super) fn forgotten(&self, key: &SessionKey) {
        let mut state = self.state();
        state.epoch += 1;
        state.sessions.remove(key);
    }

    /// Notes that a caller asked to forget the session, until it settles that or a day has passed.
    pub(super) fn unsettle(&self, key: &SessionKey, now: Timestamp) {
        let mut state = self.state();
        state.forgotten.retain(|_, at| now.since(*at) < UNSETTLED);
        if state.forgotten.len() < OWED {
            state.forgotten.insert(key.clone(), now);
        }
    }

    pub(super) fn unsettled(&self, limit: usize, now: Timestamp) -> Vec<SessionKey> {
        let state = self.state();
        let lasting = state.forgotten.iter().filter(|(_, at)| now.since(**at) < UNSETTLED);
        lasting.take(limit).map(|(key, _)| key.clone()).collect()
    }

    /// Whether this process has forgotten the session, and the caller has not settled that.
    pub(super) fn is_unsettled(&self, key: &SessionKey) -> bool {
        self.state().forgotten.contains_key(key)
    }

    pub(super) fn settle(&self, key: &SessionKey) {
        self.state().forgotten.remove(key);
    }

    /// The last change of a durable session that no token tells of; `None` for others.
    pub(super) fn change(&self, key: &SessionKey) -> Option<u64> {
        let mut state = self.state();
        state.sessions.get(key).filter(|it| it.class == MemoryClass::Durable).map(|it| it.change)
    }

    /// Notes such a change: what was read before it is no copy any more.
    pub(super) fn changed(&self, key: &SessionKey) {
        let mut state = self.state();
        state.changes += 1;
        let change = state.changes;
        match state.sessions.get(key) {
            Some(session) => {
                session.change = change;
                session.trusted_until = None;
            }
            None => state.epoch += 1,
        }
    }

    pub(super) fn trusts(&self, key: &SessionKey, now: Duration) -> bool {
        let mut state = self.state();
        state.sessions.get(key).and_then(|it| it.trusted_until).is_some_and(|until| now < until)
    }

    /// Trusts the copy, which is from after this change, if that was the last one.
    pub(super) fn trust(&self, key: &SessionKey, change: u64, now: Duration) {
        let mut state = self.state();
        if let Some(session) = state.sessions.get(key).filter(|it| it.change == change) {
            session.trusted_until = Some(now + TRUST);
        }
    }

    pub(super) fn distrust(&self, key: &SessionKey) {
        if let Some(session) = self.state().sessions.get(key) {
            session.trusted_until = None;
        }
    }

    pub(super) fn turn(&self, turn: TurnId) -> Option<KnownTurn> {
        self.state().turns.get(&turn).copied()
    }

    /// Notes where a turn is.
    pub(super) fn saw(&self, turn: &TurnRecord, class: MemoryClass) {
        let mut state = self.state();
        if state.turns.get(&turn.id).is_none() {
            state.note(turn.id, KnownTurn { class, token: None });
        }
    }

    /// Notes that a turn went with its session to the durable tier.
    pub(super) fn moved(&self, turn: TurnId) {
        self.state().note(turn, KnownTurn { class: MemoryClass::Durable, token: None });
    }

    /// Notes a turn that this process has opened, and the state that came of it.
    pub(super) fn opened(&self, turn: &TurnRecord, class: MemoryClass, token: Token) {
        self.state().note(turn.id, KnownTurn { class, token: Some(token) });
    }

    /// Notes the state that the turn has brought about; `None` if another holder may have
    /// brought about another one.
    pub(super) fn turn_wrote(&self, turn: TurnId, token: Option<Token>) {
        if let Some(turn) = self.state().turns.get(&turn) {
            turn.token = token;
        }
    }

    /// Notes that the session's copy must go once that is possible; returns whether there was room
    /// for the note.
    pub(super) fn owe(&self, key: &SessionKey) -> bool {
        let mut state = self.state();
        let has_room = state.owed.len() < OWED || state.owed.contains(key);
        if has_room {
            state.owed.insert(key.clone());
        }
        has_room
    }

    pub(super) fn owes(&self, key: &SessionKey) -> bool {
        self.state().owed.contains(key)
    }

    pub(super) fn owed(&self) -> Option<SessionKey> {
        self.state().owed.first().cloned()
    }

    pub(super) fn paid(&self, key: &SessionKey) {
        self.state().owed.remove(key);
    }
}

impl State {
    /// Returns the number of a change that was made for it, unless it was known already.
    fn learn(&mut self, key: &SessionKey, class: MemoryClass) -> Option<u64> {
        if self.sessions.get(key).is_some_and(|it| it.class == class) {
            return None;
        }
        self.changes += 1;
        let session = KnownSession { class, change: self.changes, trusted_until: None };
        self.sessions.insert(key.clone(), session);
        if SESSIONS < self.sessions.len() {
            self.sessions.pop_oldest();
        }
        Some(self.changes)
    }

    fn note(&mut self, id: TurnId, turn: KnownTurn) {
        self.turns.insert(id, turn);
        if TURNS < self.turns.len() {
            self.turns.pop_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, OWED};
    use crate::ids::{Owner, SessionId, SessionKey};

    fn key(id: usize) -> SessionKey {
        SessionKey::new(Owner::local(), SessionId::new(id.to_string()).unwrap())
    }

    #[test]
    fn what_finds_no_room_is_told_and_what_is_noted_stays() {
        let known = Known::new(true);
        assert!((0..OWED).all(|it| known.owe(&key(it))));
        assert!(!known.owe(&key(OWED)) && !known.owes(&key(OWED)));
        assert!(known.owe(&key(0)), "it is noted already");
        known.forgotten(&key(0));
        assert!(known.owes(&key(0)), "forgetting a session pays nothing by itself");
        known.paid(&key(0));
        assert!(known.owe(&key(OWED)) && known.owes(&key(OWED)));
        assert!((1..OWED).all(|it| known.owes(&key(it))));
    }
}
