//! Turns: who holds which session, by which lease, and what there is of the answer.

use std::time::Duration;

use super::{
    conflict,
    recall::{Found, Indexed},
    state::State,
    weight,
};
use crate::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, TurnId},
    memory::{
        Append, Appended, Checkpoint, CloseTurn, Fence, Idempotency, MemoryError, MemoryErrorKind,
        OpenTurn, Opened, Signals, TurnRecord, TurnState,
    },
    time::Timestamp,
};

fn superseded() -> MemoryError {
    MemoryError::new("act for the turn", MemoryErrorKind::Superseded)
}

/// What the turn has appended is history now: its checkpoint goes on from there.
fn passed(turn: &mut TurnRecord, appended: Appended) {
    let last_event = turn.checkpoint.last_event;
    turn.checkpoint = Checkpoint { last_event, tail: appended.last, ..Checkpoint::default() };
}

impl State {
    /// The turn, if the fence holds it.
    fn held(&mut self, fence: Fence) -> Result<&mut TurnRecord, MemoryError> {
        self.turns
            .get_mut(&fence.turn)
            .filter(|it| it.is_held_by(fence.holder))
            .ok_or_else(superseded)
    }

    /// Changes a turn, and keeps count of what it takes; `None` if there is no such turn.
    fn change_turn(
        &mut self,
        turn: TurnId,
        change: impl FnOnce(&mut TurnRecord),
    ) -> Option<&TurnRecord> {
        let turn = self.turns.get_mut(&turn)?;
        let before = weight::turn(turn);
        change(turn);
        self.room.change(before, weight::turn(turn));
        Some(turn)
    }

    /// Drops turns and their keys, and keeps count.
    fn retain_turns(&mut self, keep: impl Fn(&TurnRecord) -> bool) {
        let dropped = self.turns.values().filter(|it| !keep(it));
        let weight: usize = dropped.map(weight::turn).sum();
        if 0 < weight {
            self.turns.retain(|_, turn| keep(turn));
            self.keys.retain(|_, turn| self.turns.contains_key(turn));
            self.room.change(weight, 0);
        }
    }

    /// Whether the session may be appended to by whoever shows this fence.
    pub(super) fn check_fence(
        &mut self,
        key: &SessionKey,
        fence: Option<Fence>,
    ) -> Result<(), MemoryError> {
        let Some(fence) = fence else {
            let open = self.sessions.get(key).and_then(|it| it.open_turn);
            return if open.is_none() { Ok(()) } else { Err(conflict("append to the session")) };
        };
        if self.held(fence)?.session == *key { Ok(()) } else { Err(superseded()) }
    }

    /// Remembers what a fenced append did to its turn.
    pub(super) fn note_append(&mut self, append: &Append, appended: Appended) {
        if let Some(fence) = append.fence.filter(|_| !append.drafts.is_empty()) {
            self.change_turn(fence.turn, |it| passed(it, appended));
        }
    }

    pub(super) fn open(
        &mut self,
        open: OpenTurn,
        found: Found,
        now: Timestamp,
    ) -> Result<Opened, MemoryError> {
        if let Some(again) = self.opened_before(&open)? {
            return Ok(again);
        }
        if let Some(turn) = self.known_key(&open, now)? {
            return Ok(Opened::Known(turn.clone()));
        }
        if let Some(turn) = self.open_turn(&open.session) {
            return Ok(Opened::Busy { turn: turn.clone(), lease_left: turn.lease_left(now) });
        }
        let appended = match self.known_append(&open.session, &open.append) {
            Some(known) => known,
            None => {
                let append = Indexed { append: &open.append, found };
                self.write(&open.session, &append, open.create.clone(), now)?
            }
        };
        let turn = TurnRecord::opened(open, appended, now);
        self.room.change(0, weight::turn(&turn));
        if let Some(session) = self.sessions.get_mut(&turn.session) {
            session.open_turn = Some(turn.id);
        }
        if let Some(Idempotency { key, .. }) = &turn.idempotency {
            self.keys.insert((turn.session.owner.clone(), key.clone()), turn.id);
        }
        self.turns.insert(turn.id, turn.clone());
        Ok(Opened::Started { turn, appended })
    }

    /// The answer to a caller that asks again because the first reply was lost.
    fn opened_before(&self, open: &OpenTurn) -> Result<Option<Opened>, MemoryError> {
        let Some(turn) = self.turns.get(&open.id) else { return Ok(None) };
        match self.known_append(&open.session, &open.append) {
            Some(appended) if turn.session == open.session => {
                Ok(Some(Opened::Started { turn: turn.clone(), appended }))
            }
            Some(_) | None => Err(conflict("open the turn")),
        }
    }

    fn known_key(
        &self,
        open: &OpenTurn,
        now: Timestamp,
    ) -> Result<Option<&TurnRecord>, MemoryError> {
        let Some(asked) = &open.idempotency else { return Ok(None) };
        let known = self.turn_by_key(&open.session.owner, &asked.key, now);
        let equal = |turn: &TurnRecord| turn.idempotency.as_ref() == Some(asked);
        match known {
            Some(turn) if !equal(turn) => {
                Err(MemoryError::new("open the turn", MemoryErrorKind::KeyReused))
            }
            Some(_) | None => Ok(known),
        }
    }

    fn open_turn(&self, key: &SessionKey) -> Option<&TurnRecord> {
        self.sessions.get(key)?.open_turn.and_then(|turn| self.turns.get(&turn))
    }

    pub(super) fn take(
        &mut self,
        fence: Fence,
        lease: Duration,
        now: Timestamp,
    ) -> Result<TurnRecord, MemoryError> {
        let turn = self.turns.get_mut(&fence.turn).ok_or_else(superseded)?;
        if !turn.may_be_taken_by(fence.holder, now) {
            return Err(superseded());
        }
        turn.state = TurnState::Running;
        turn.checkpoint.waiting = false;
        turn.holder = fence.holder;
        turn.lease_until = Some(now.plus(lease));
        let turn = turn.clone();
        self.arm(&turn.session);
        Ok(turn)
    }

    pub(super) fn renew(
        &mut self,
        fence: Fence,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Signals, MemoryError> {
        let turn = self.held(fence)?;
        turn.lease_until = Some(now.plus(lease));
        let (session, signals) = (turn.session.clone(), Signals { cancel: turn.cancel_requested });
        self.arm(&session);
        Ok(signals)
    }

    pub(super) fn checkpoint(
        &mut self,
        fence: Fence,
        checkpoint: Checkpoint,
    ) -> Result<(), MemoryError> {
        self.held(fence)?;
        self.change_turn(fence.turn, |turn| {
            if checkpoint.waiting {
                turn.state = TurnState::Waiting;
                turn.lease_until = None;
            }
            turn.checkpoint = checkpoint;
        });
        Ok(())
    }

    pub(super) fn close(
        &mut self,
        close: &CloseTurn,
        found: Found,
        now: Timestamp,
    ) -> Result<TurnRecord, MemoryError> {
        let turn = self.turns.get(&close.turn).ok_or_else(superseded)?;
        let key = turn.session.clone();
        let known = self.known_append(&key, &close.append);
        if !turn.state.is_open() && known.is_some() {
            return Ok(turn.clone());
        }
        if !turn.may_be_ended_by(close.authority, now) || close.state.is_open() {
            return Err(superseded());
        }
        let appended = match known {
            Some(known) => known,
            None => self.write(&key, &Indexed { append: &close.append, found }, None, now)?,
        };
        if let Some(session) = self.sessions.get_mut(&key) {
            session.open_turn = None;
        }
        let ended = self.change_turn(close.turn, |it| it.end(close, appended, now));
        ended.cloned().ok_or_else(superseded)
    }

    pub(super) fn turn(&self, owner: &Owner, turn: TurnId) -> Option<&TurnRecord> {
        self.turns.get(&turn).filter(|it| it.session.owner == *owner)
    }

    pub(super) fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Option<&TurnRecord> {
        let turn = self.keys.get(&(owner.clone(), key.clone()))?;
        self.turns.get(turn).filter(|it| now.since(it.opened_at) < Idempotency::LIFE)
    }

    pub(super) fn request_cancel(&mut self, owner: &Owner, turn: TurnId) -> Option<TurnRecord> {
        let turn = self.turns.get_mut(&turn).filter(|it| it.session.owner == *owner)?;
        turn.cancel_requested |= turn.state.is_open();
        Some(turn.clone())
    }

    pub(super) fn unfinished(&self) -> Vec<TurnRecord> {
        self.turns.values().filter(|it| it.state.is_open()).cloned().collect()
    }

    pub(super) fn lapsed(&self, limit: usize, now: Timestamp) -> Vec<TurnRecord> {
        self.turns.values().filter(|it| it.has_lapsed(now)).take(limit).cloned().collect()
    }

    pub(super) fn turns_of(&self, key: &SessionKey) -> Vec<TurnRecord> {
        let of_session = self.turns.values().filter(|it| it.session == *key);
        let mut turns: Vec<TurnRecord> = of_session.cloned().collect();
        turns.sort_by_cached_key(|it| (it.opened_at, it.id.to_string()));
        turns
    }

    /// Keeps a turn that another store had of this session, and that is over.
    pub(super) fn keep_turn(&mut self, key: &SessionKey, turn: &TurnRecord) {
        let turn = TurnRecord { session: key.clone(), ..turn.clone() };
        self.room.change(0, weight::turn(&turn));
        if let Some(Idempotency { key: known, .. }) = &turn.idempotency {
            let named = (key.owner.clone(), known.clone());
            let holder = self.keys.get(&named).and_then(|it| self.turns.get(it));
            if holder.is_none_or(|it| it.opened_at <= turn.opened_at) {
                self.keys.insert(named, turn.id);
            }
        }
        self.turns.insert(turn.id, turn);
    }

    pub(super) fn prune_turns(&mut self, before: Timestamp) -> u64 {
        let count = self.turns.len();
        self.retain_turns(|turn| turn.ended_at.is_none_or(|ended| before <= ended));
        (count - self.turns.len()) as u64
    }

    /// Erases the turn that has this entry as its input, since its request says the same.
    pub(super) fn forget_input(&mut self, key: &SessionKey, seq: Seq) {
        self.retain_turns(|turn| turn.session != *key || turn.input != Some(seq));
    }

    /// Erases the session's turns and their idempotency keys.
    pub(super) fn forget_turns(&mut self, key: &SessionKey) {
        self.retain_turns(|turn| turn.session != *key);
    }
}
