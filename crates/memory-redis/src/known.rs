//! What a store remembers between calls; all of it can be found out again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use brain_core::{
    ids::{SessionKey, TurnId},
    time::Timestamp,
};

/// More turns than one daemon works on.
const MOST: usize = 4096;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which session a turn belongs to: a holder asks every second, and a turn never moves.
#[derive(Debug, Default)]
pub(crate) struct KnownTurns(Mutex<HashMap<TurnId, SessionKey>>);

impl KnownTurns {
    pub(crate) fn get(&self, turn: TurnId) -> Option<SessionKey> {
        locked(&self.0).get(&turn).cloned()
    }

    pub(crate) fn add(&self, turn: TurnId, session: &SessionKey) {
        let mut turns = locked(&self.0);
        if turns.len() == MOST {
            turns.clear();
        }
        turns.insert(turn, session.clone());
    }
}

/// When sessions were last put into the index of all sessions, as far as that was of late.
#[derive(Debug, Default)]
pub(crate) struct Touched(Mutex<HashMap<SessionKey, Timestamp>>);

impl Touched {
    pub(crate) fn at(&self, key: &SessionKey) -> Option<Timestamp> {
        locked(&self.0).get(key).copied()
    }

    pub(crate) fn add(&self, key: &SessionKey, now: Timestamp) {
        let mut touched = locked(&self.0);
        if touched.len() == MOST {
            touched.clear();
        }
        touched.insert(key.clone(), now);
    }

    pub(crate) fn forget(&self, key: &SessionKey) {
        locked(&self.0).remove(key);
    }
}

/// Sessions that were to be forgotten, and that Redis did not say it forgot.
#[derive(Debug, Default)]
pub(crate) struct Unforgotten(Mutex<HashSet<SessionKey>>);

impl Unforgotten {
    pub(crate) fn has(&self, key: &SessionKey) -> bool {
        locked(&self.0).contains(key)
    }

    pub(crate) fn add(&self, key: &SessionKey) {
        let mut unforgotten = locked(&self.0);
        if unforgotten.len() == MOST {
            unforgotten.clear();
        }
        unforgotten.insert(key.clone());
    }

    pub(crate) fn remove(&self, key: &SessionKey) {
        locked(&self.0).remove(key);
    }
}

/// When everything was embedded, and by which model.
#[derive(Debug, Default)]
pub(crate) struct Embedded(Mutex<Option<(String, Timestamp)>>);

impl Embedded {
    pub(crate) fn since(&self, model: &str) -> Option<Timestamp> {
        locked(&self.0).as_ref().filter(|(by, _)| by == model).map(|(_, since)| *since)
    }

    pub(crate) fn reached(&self, model: &str, now: Timestamp) {
        *locked(&self.0) = Some((model.to_owned(), now));
    }
}
