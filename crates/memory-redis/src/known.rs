//! Which session a turn belongs to, remembered: a holder asks every second. A turn never moves.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use brain_core::ids::{SessionKey, TurnId};

/// More turns than one daemon works on.
const MOST: usize = 4096;

/// Turns that were asked for lately.
#[derive(Debug, Default)]
pub(crate) struct KnownTurns(Mutex<HashMap<TurnId, SessionKey>>);

impl KnownTurns {
    fn turns(&self) -> MutexGuard<'_, HashMap<TurnId, SessionKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, turn: TurnId) -> Option<SessionKey> {
        self.turns().get(&turn).cloned()
    }

    pub(crate) fn add(&self, turn: TurnId, session: &SessionKey) {
        let mut turns = self.turns();
        if turns.len() == MOST {
            turns.clear();
        }
        turns.insert(turn, session.clone());
    }
}
