//! Opening a turn: the user's entry and the turn in one commit, and a client's key for it claimed
//! before.
//!
//! The key is not in the session's hash, and so not in the commit. A claim whose turn has not opened
//! is replaced only after that turn can no longer open: the commit of an opening looks at the turns
//! that may not.

use std::time::{Duration, Instant};

use brain_core::{
    ids::{SessionKey, TurnId},
    memory::{
        Appended, Idempotency, MemoryError, MemoryErrorKind, NewSession, OpenTurn, Opened,
        TurnRecord,
    },
    time::Timestamp,
};

use futures_util::future;

use crate::{
    index::{claim_of, parse_claim},
    keys,
    plan::Plan,
    record,
    reply::Reply,
    scripts,
    state::parse_appended,
    store::{Attempts, Change, Committed, Look, RedisStore, Seen, millis},
    value,
};

const OPEN: &str = "open the turn";
/// How long a claim whose turn has not opened yet is waited for.
const CLAIM_PATIENCE: Duration = Duration::from_millis(500);
/// How often it is looked at meanwhile.
const CLAIM_PAUSE: Duration = Duration::from_millis(5);

/// What stands in the way of a client's key.
enum Key {
    /// Nothing: the claim says this, and may be replaced.
    Free(String),
    /// It opened this turn.
    Known(Box<TurnRecord>),
}

/// What an opening leaves outside of its session, to be cleared away if it fails.
#[derive(Default)]
struct Traces {
    /// The client's key is claimed.
    claimed: bool,
    /// Session and turn stand in indexes, as of then.
    noted: Option<Timestamp>,
}

impl RedisStore {
    /// [`brain_core::memory::Turns::open`].
    pub(crate) async fn open_turn(&self, open: &OpenTurn) -> Result<Opened, MemoryError> {
        let mut traces = Traces::default();
        let result = self.open_claiming(open, &mut traces).await;
        if may_be_open(&result, open.id) {
            return result;
        }
        if traces.claimed {
            self.release(open).await;
        }
        if let Some(noted) = traces.noted {
            self.drop_turn(&open.session, open.id).await;
            self.take_back(&open.session, noted, None).await;
        }
        result
    }

    async fn open_claiming(
        &self,
        open: &OpenTurn,
        traces: &mut Traces,
    ) -> Result<Opened, MemoryError> {
        let attempts = Attempts::new(OPEN);
        loop {
            let place = self.session_of(OPEN, open.id);
            let (seen, place) = future::try_join(self.look_before_opening(open), place).await?;
            if let Some(again) = self.opened_before(open, &seen, place).await? {
                return Ok(again);
            }
            let key = self.known_key(open).await?;
            let free = match key {
                Key::Known(turn) => return Ok(Opened::Known(*turn)),
                Key::Free(claim) => claim,
            };
            if let Some(held) = seen.stored.as_ref().and_then(|it| it.state.held) {
                match self.busy(open, held.turn).await? {
                    Some(busy) => return Ok(busy),
                    None => {
                        attempts.again()?;
                        continue;
                    }
                }
            }
            let (plan, turn) = self.plan_opening(open, &seen).await?;
            traces.noted = Some(seen.now);
            self.note_opening(open, &seen).await?;
            if !self.claim_key(open, &free, &mut traces.claimed).await? {
                attempts.again()?;
                continue;
            }
            let appended = plan.appended;
            match self.commit_opening(&seen, plan, &turn).await? {
                Committed::Yes => return Ok(Opened::Started { turn, appended }),
                Committed::Changed => attempts.again()?,
                Committed::Void => return self.given_up(open).await,
            }
        }
    }

    async fn look_before_opening(&self, open: &OpenTurn) -> Result<Seen, MemoryError> {
        let mut fields: Vec<Vec<u8>> = keys::turn(open.id).into();
        fields.push(keys::append(&open.append.append_id));
        let (parent, round) = (open.append.parent, value::round(&open.append.drafts));
        self.look(OPEN, &open.session, Look { parent, round, fields }).await
    }

    /// The answer to a caller that asks again because the first reply was lost.
    async fn opened_before(
        &self,
        open: &OpenTurn,
        seen: &Seen,
        place: Option<SessionKey>,
    ) -> Result<Option<Opened>, MemoryError> {
        let conflict = || MemoryError::new(OPEN, MemoryErrorKind::Conflict);
        if let Some(turn) = record::parse(Reply(OPEN), (&open.session, open.id), &seen.fields)? {
            let appended = known_append(seen)?.ok_or_else(conflict)?;
            return Ok(Some(Opened::Started { turn, appended }));
        }
        match place {
            Some(other) if other != open.session => {
                let elsewhere = self.look_at_turn(OPEN, (&other, open.id), Look::at([])).await?;
                if elsewhere.is_some() { Err(conflict()) } else { Ok(None) }
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Whether the client's key is known, once that is decided.
    async fn known_key(&self, open: &OpenTurn) -> Result<Key, MemoryError> {
        let Some(asked) = &open.idempotency else { return Ok(Key::Free(String::new())) };
        let owner = &open.session.owner;
        let since = Instant::now();
        loop {
            let claim = self.claim(OPEN, owner, &asked.key).await?.unwrap_or_default();
            let Some((turn, session)) = parse_claim(&claim) else { return Ok(Key::Free(claim)) };
            if (turn, &session) == (open.id, &open.session) {
                return Ok(Key::Free(claim));
            }
            if let Some(found) = self.look_at_turn(OPEN, (&session, turn), Look::at([])).await? {
                if found.seen.now.since(found.turn.opened_at) >= Idempotency::LIFE {
                    return Ok(Key::Free(claim));
                }
                if found.turn.idempotency.as_ref() != Some(asked) {
                    return Err(MemoryError::new(OPEN, MemoryErrorKind::KeyReused));
                }
                return Ok(Key::Known(Box::new(found.turn)));
            }
            if since.elapsed() < CLAIM_PATIENCE {
                tokio::time::sleep(CLAIM_PAUSE).await;
                continue;
            }
            let keys = [self.keys.session(&session), self.keys.void_turns(&session)];
            let args = vec![turn.to_string().into_bytes(), millis(Idempotency::LIFE)];
            let void = self.pool.script(OPEN, &scripts::VOID, &keys, args, true).await?;
            if Reply(OPEN).int(void)? == 1 {
                return Ok(Key::Free(claim));
            }
        }
    }

    /// The session's open turn; `None` if it has just ended.
    async fn busy(&self, open: &OpenTurn, turn: TurnId) -> Result<Option<Opened>, MemoryError> {
        let found = self.look_at_turn(OPEN, (&open.session, turn), Look::at([])).await?;
        let found = found.filter(|it| it.turn.state.is_open());
        Ok(found.map(|it| {
            let lease_left = it.turn.lease_left(it.seen.now);
            Opened::Busy { turn: it.turn, lease_left }
        }))
    }

    /// What the opening writes, if the session is as it was seen.
    async fn plan_opening(
        &self,
        open: &OpenTurn,
        seen: &Seen,
    ) -> Result<(Plan, TurnRecord), MemoryError> {
        let plan = match (known_append(seen)?, seen.stored.clone()) {
            (Some(appended), Some(stored)) => Plan { stored, appended, sets: Vec::new() },
            (_, _) => {
                let create: Option<&NewSession> = open.create.as_ref();
                match Plan::of(OPEN, &open.session, seen, &open.append, create)? {
                    Some(plan) => plan,
                    None => {
                        let kind = self.absence(OPEN, &open.session).await?;
                        return Err(MemoryError::new(OPEN, kind));
                    }
                }
            }
        };
        let turn = TurnRecord::opened(open.clone(), plan.appended, seen.now);
        Ok((plan, turn))
    }

    async fn note_opening(&self, open: &OpenTurn, seen: &Seen) -> Result<(), MemoryError> {
        // An index that was evicted comes back so.
        let made = seen.stored.as_ref().map_or(seen.now, |it| it.session.created_at);
        let session = self.note_session(OPEN, (&open.session, made), seen.now);
        let turn = self.note_turn(OPEN, &open.session, open.id, seen.now);
        future::try_join(session, turn).await?;
        Ok(())
    }

    /// Claims the client's key for the turn; `false` if somebody else was quicker.
    async fn claim_key(
        &self,
        open: &OpenTurn,
        free: &str,
        claimed: &mut bool,
    ) -> Result<bool, MemoryError> {
        let Some(asked) = &open.idempotency else { return Ok(true) };
        let own = claim_of(open.id, &open.session);
        *claimed = true;
        let key = (&open.session.owner, &asked.key);
        Ok(self.set_claim(OPEN, key, (free, &own)).await? == own)
    }

    async fn commit_opening(
        &self,
        seen: &Seen,
        plan: Plan,
        turn: &TurnRecord,
    ) -> Result<Committed, MemoryError> {
        let Plan { mut stored, mut sets, .. } = plan;
        stored.state.held = Some(record::held(turn));
        let mut drops = Vec::new();
        sets.extend(stored.sets());
        sets.push(record::record_field(OPEN, turn)?);
        sets.push(record::request_field(turn));
        record::put_checkpoint(OPEN, turn, (&mut sets, &mut drops))?;
        let guards = vec![seen.guard()];
        // Only whoever wants a client's key makes an opening void.
        let opens = turn.idempotency.as_ref().map(|_| turn.id);
        let change = Change { guards, sets, drops, opens, ..Change::default() };
        self.commit(OPEN, &turn.session, change).await
    }

    /// Somebody took this opening for dead, and its key: what became of the key then.
    async fn given_up(&self, open: &OpenTurn) -> Result<Opened, MemoryError> {
        self.release(open).await;
        match self.known_key(open).await? {
            Key::Known(turn) => Ok(Opened::Known(*turn)),
            Key::Free(_) => Err(MemoryError::new(OPEN, MemoryErrorKind::Unavailable)
                .with_source("it took so long that another opening has taken its place")),
        }
    }

    /// Frees the client's key, if it is claimed for this turn.
    async fn release(&self, open: &OpenTurn) {
        let Some(asked) = &open.idempotency else { return };
        let own = claim_of(open.id, &open.session);
        let key = (&open.session.owner, &asked.key);
        if let Err(error) = self.set_claim(OPEN, key, (&own, "")).await {
            tracing::debug!(%error, "left a key claimed for a turn that did not open");
        }
    }
}

/// What the input's append did, if it is known.
fn known_append(seen: &Seen) -> Result<Option<Appended>, MemoryError> {
    seen.field(4).map(|it| Reply(OPEN).parsed(it, parse_appended)).transpose()
}

/// Whether the turn may have opened, as far as this result says.
fn may_be_open(result: &Result<Opened, MemoryError>, turn: TurnId) -> bool {
    match result {
        Ok(Opened::Started { .. }) => true,
        Ok(Opened::Known(it)) => it.id == turn,
        Ok(Opened::Busy { .. }) => false,
        Err(error) => error.is_transient(),
    }
}
