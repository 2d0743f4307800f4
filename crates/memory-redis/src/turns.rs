//! Turns: holding, checkpointing and ending them.

use std::time::Duration;

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, SessionKey, TurnId},
    memory::{
        Checkpoint, CloseTurn, Fence, MemoryError, MemoryErrorKind, OpenTurn, Opened, Signals,
        TurnRecord, TurnState, Turns,
    },
};

use crate::{
    keys,
    plan::Plan,
    record,
    reply::Reply,
    state::{Stored, parse_appended},
    store::{Attempts, Change, Committed, Look, RedisStore, Seen},
    value,
};

const TAKE: &str = "take the turn";
const RENEW: &str = "renew the lease";
const KEEP: &str = "keep the checkpoint";
const END: &str = "end the turn";

/// A turn, its session, and what both were seen by.
pub(crate) struct SeenTurn {
    pub(crate) turn: TurnRecord,
    pub(crate) stored: Stored,
    pub(crate) seen: Seen,
}

impl SeenTurn {
    /// The guard of what depends on the turn's record only.
    pub(crate) fn guard(&self) -> (Vec<u8>, Vec<u8>) {
        let [name, ..] = keys::turn(self.turn.id);
        (name, self.seen.field(0).unwrap_or_default().to_vec())
    }
}

fn superseded(operation: &'static str) -> MemoryError {
    MemoryError::new(operation, MemoryErrorKind::Superseded)
}

impl RedisStore {
    /// The turn, with the fields that `look` asks for after its own four; `None` if it is gone.
    pub(crate) async fn look_at_turn(
        &self,
        operation: &'static str,
        (key, id): (&SessionKey, TurnId),
        mut look: Look,
    ) -> Result<Option<SeenTurn>, MemoryError> {
        look.fields.splice(0..0, keys::turn(id));
        let mut seen = self.look(operation, key, look).await?;
        let turn = record::parse(Reply(operation), (key, id), &seen.fields)?;
        let (Some(turn), Some(stored)) = (turn, seen.stored.take()) else { return Ok(None) };
        Ok(Some(SeenTurn { turn, stored, seen }))
    }

    /// The turn as it is stored, if it belongs to this owner.
    pub(crate) async fn turn_of(
        &self,
        operation: &'static str,
        owner: Option<&Owner>,
        id: TurnId,
    ) -> Result<Option<SeenTurn>, MemoryError> {
        let Some(key) = self.session_of(operation, id).await? else { return Ok(None) };
        if owner.is_some_and(|it| *it != key.owner) {
            return Ok(None);
        }
        self.look_at_turn(operation, (&key, id), Look::at([])).await
    }

    /// The same, or that whoever acts for it is superseded.
    async fn own(&self, operation: &'static str, id: TurnId) -> Result<SeenTurn, MemoryError> {
        self.turn_of(operation, None, id).await?.ok_or_else(|| superseded(operation))
    }

    async fn held(&self, operation: &'static str, fence: Fence) -> Result<SeenTurn, MemoryError> {
        let found = self.own(operation, fence.turn).await?;
        if found.turn.is_held_by(fence.holder) { Ok(found) } else { Err(superseded(operation)) }
    }

    /// Ends the turn, if it still is as it was seen.
    async fn end(
        &self,
        close: &CloseTurn,
        found: SeenTurn,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let SeenTurn { mut turn, stored, mut seen } = found;
        let reply = Reply(END);
        let known = seen.field(4).map(|it| reply.parsed(it, parse_appended)).transpose()?;
        if !turn.state.is_open() && known.is_some() {
            return Ok(Some(turn));
        }
        if !turn.may_be_ended_by(close.authority, seen.now) || close.state.is_open() {
            return Err(superseded(END));
        }
        let key = turn.session.clone();
        let guard = (keys::STATE.to_vec(), stored.line.clone());
        let (mut stored, appended, mut sets) = match known {
            Some(known) => (stored, known, Vec::new()),
            None => {
                seen.stored = Some(stored);
                let plan = Plan::of(END, &key, &seen, &close.append, None)?;
                let plan = plan.ok_or_else(|| superseded(END))?;
                (plan.stored, plan.appended, plan.sets)
            }
        };
        stored.state.held = None;
        turn.end(close, appended, seen.now);
        let mut drops = Vec::new();
        sets.extend(stored.sets());
        sets.push(record::record_field(END, &turn)?);
        record::put_checkpoint(END, &turn, (&mut sets, &mut drops))?;
        let change = Change { guards: vec![guard], sets, drops, ..Change::default() };
        let done = self.commit(END, &key, change).await? == Committed::Yes;
        Ok(done.then_some(turn))
    }
}

#[async_trait]
impl Turns for RedisStore {
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        self.open_turn(&open).await
    }

    async fn take(&self, fence: Fence, lease: Duration) -> Result<TurnRecord, MemoryError> {
        let attempts = Attempts::new(TAKE);
        loop {
            let found = self.own(TAKE, fence.turn).await?;
            let turn_guard = found.guard();
            let SeenTurn { mut turn, mut stored, seen } = found;
            if !turn.may_be_taken_by(fence.holder, seen.now) {
                return Err(superseded(TAKE));
            }
            let guards = vec![(keys::STATE.to_vec(), stored.line.clone()), turn_guard];
            turn.state = TurnState::Running;
            turn.checkpoint.waiting = false;
            turn.holder = fence.holder;
            turn.lease_until = Some(seen.now.plus(lease));
            stored.state.held = Some(record::held(&turn));
            let sets = vec![stored.state_field(), record::record_field(TAKE, &turn)?];
            let change = Change { guards, sets, ..Change::default() };
            if self.commit(TAKE, &turn.session, change).await? == Committed::Yes {
                self.note_turn(TAKE, &turn.session, turn.id, seen.now).await?;
                self.take_back(&turn.session, seen.now, Some(turn.id)).await;
                return Ok(turn);
            }
            attempts.again()?;
        }
    }

    async fn renew(&self, fence: Fence, lease: Duration) -> Result<Signals, MemoryError> {
        let attempts = Attempts::new(RENEW);
        loop {
            let found = self.held(RENEW, fence).await?;
            let guards = vec![found.guard()];
            let SeenTurn { mut turn, seen, .. } = found;
            turn.lease_until = Some(seen.now.plus(lease));
            let sets = vec![record::record_field(RENEW, &turn)?];
            let change = Change { guards, sets, ..Change::default() };
            if self.commit(RENEW, &turn.session, change).await? == Committed::Yes {
                return Ok(Signals { cancel: turn.cancel_requested });
            }
            attempts.again()?;
        }
    }

    async fn checkpoint(&self, fence: Fence, checkpoint: Checkpoint) -> Result<(), MemoryError> {
        let attempts = Attempts::new(KEEP);
        loop {
            let found = self.held(KEEP, fence).await?;
            let turn_guard = found.guard();
            let SeenTurn { mut turn, mut stored, .. } = found;
            let guards = vec![(keys::STATE.to_vec(), stored.line.clone()), turn_guard];
            if checkpoint.waiting {
                turn.state = TurnState::Waiting;
                turn.lease_until = None;
            }
            turn.checkpoint = checkpoint.clone();
            stored.state.held = Some(record::held(&turn));
            let mut sets = vec![stored.state_field(), record::record_field(KEEP, &turn)?];
            let mut drops = Vec::new();
            record::put_checkpoint(KEEP, &turn, (&mut sets, &mut drops))?;
            let change = Change { guards, sets, drops, ..Change::default() };
            if self.commit(KEEP, &turn.session, change).await? == Committed::Yes {
                return Ok(());
            }
            attempts.again()?;
        }
    }

    async fn close(&self, close: CloseTurn) -> Result<TurnRecord, MemoryError> {
        let attempts = Attempts::new(END);
        let key = self.session_of(END, close.turn).await?.ok_or_else(|| superseded(END))?;
        loop {
            let look = Look {
                parent: close.append.parent,
                round: value::round(&close.append.drafts),
                fields: vec![keys::append(&close.append.append_id)],
            };
            let found = self.look_at_turn(END, (&key, close.turn), look).await?;
            let found = found.ok_or_else(|| superseded(END))?;
            if let Some(turn) = self.end(&close, found).await? {
                self.note_end(&turn).await;
                return Ok(turn);
            }
            attempts.again()?;
        }
    }
}
