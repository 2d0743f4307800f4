//! What is found without a session's name: the owner's sessions, turns, and who claims a key.
//!
//! An index is written before what it points to, and checked when it is read: it may hold too much,
//! never too little.

use std::{sync::atomic::Ordering, time::Duration};

use async_trait::async_trait;
use brain_core::{
    ids::{IdempotencyKey, Owner, SessionId, SessionKey, TurnId},
    memory::{Idempotency, MemoryError, TurnIndex, TurnRecord},
    time::Timestamp,
};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use redis::{Cmd, Value};

use crate::{
    keys::{name_of, parse_name},
    record,
    reply::Reply,
    scripts,
    store::{Attempts, Change, Committed, Look, RedisStore, millis},
    turns::SeenTurn,
};

/// How long a record of something that was never finished is left alone.
pub(crate) const GRACE: Duration = Duration::from_secs(600);
/// How long a session need not be put into the index of all sessions again; whoever looks for what
/// changed looks back by [`GRACE`].
const TOUCHED: Duration = Duration::from_secs(300);
/// How long beside the session's TTL a turn is found by its id.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How many sessions are asked at once.
pub(crate) const AT_ONCE: usize = 16;

const END: &str = "end the turn";
const FIND: &str = "find the turn";
const CANCEL: &str = "cancel the turn";
const UNFINISHED: &str = "find unfinished turns";
const LAPSED: &str = "find lapsed turns";
const TURNS: &str = "read the turns";
/// How many open turns one look for lapsed ones looks at.
const LOOKED: usize = 1_000;

fn command(name: &str, key: Vec<u8>) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(key);
    command
}

/// A turn as the indexes of all turns name it.
fn member(key: &SessionKey, turn: TurnId) -> String {
    format!("{turn} {}", name_of(key))
}

pub(crate) fn parse_member(member: &str) -> Option<(TurnId, SessionKey)> {
    let (turn, name) = member.split_once(' ')?;
    Some((TurnId::parse(turn)?, parse_name(name)?))
}

/// Members and numbers, as `WITHSCORES` gives them.
pub(crate) fn scored(reply: Reply, found: Value) -> Result<Vec<(String, i64)>, MemoryError> {
    let mut values = reply.list(found)?.into_iter();
    let mut members = Vec::with_capacity(values.len() / 2);
    while let (Some(member), Some(score)) = (values.next(), values.next()) {
        members.push((reply.text(member)?, reply.int(score)?));
    }
    Ok(members)
}

impl RedisStore {
    /// Puts a session, which is about to be made, into the indexes.
    pub(crate) async fn note_session(
        &self,
        operation: &'static str,
        (key, made): (&SessionKey, Timestamp),
        now: Timestamp,
    ) -> Result<(), MemoryError> {
        let made = self.note_made(operation, key, made);
        future::try_join(made, self.note_changed(operation, key, now)).await?;
        Ok(())
    }

    /// Puts a session into the index of all, as changed now.
    pub(crate) async fn note_changed(
        &self,
        operation: &'static str,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<(), MemoryError> {
        let mut all = command("ZADD", self.keys.sessions());
        all.arg(now.as_millis()).arg(name_of(key));
        self.pool.command(operation, all, true).await?;
        self.touched.add(key, self.moment());
        Ok(())
    }

    /// Puts a session that was appended to into the index of all, unless this store did so of late.
    /// If that fails, the next append does it.
    pub(crate) async fn note_appended(&self, operation: &'static str, key: &SessionKey) {
        let now = self.moment();
        if self.touched.at(key).is_some_and(|it| now.since(it) < TOUCHED) {
            return;
        }
        let args = vec![self.given_now(), name_of(key).into_bytes()];
        let keys = [self.keys.sessions()];
        let noted = self.pool.script(operation, &scripts::TOUCH, &keys, args, true).await;
        match noted.and_then(|it| Reply(operation).int(it)) {
            Ok(noted) => {
                self.touched.add(key, now);
                self.take_back(key, Timestamp::from_millis(noted), None).await;
            }
            Err(error) => tracing::debug!(%error, "left a session in an index as changed before"),
        }
    }

    /// Takes a session out of the index of all where it was noted at this time, and a turn out of
    /// its indexes, if the session is gone: it was forgotten before it was noted.
    pub(crate) async fn take_back(&self, key: &SessionKey, noted: Timestamp, turn: Option<TurnId>) {
        const TAKE_BACK: &str = "take back what was noted";
        let exists = command("EXISTS", self.keys.session(key));
        let exists = self.pool.command(TAKE_BACK, exists, false).await;
        match exists.and_then(|it| Reply(TAKE_BACK).int(it)) {
            Ok(0) => {}
            Ok(_) => return,
            Err(error) => return tracing::debug!(%error, "left a session in an index unseen"),
        }
        if let Some(turn) = turn {
            self.drop_turn(key, turn).await;
        }
        self.touched.forget(key);
        self.drop_noted(key, noted.as_millis().to_string()).await;
    }

    /// Takes a session that was forgotten then out of the index of all.
    pub(crate) async fn leave(&self, key: &SessionKey, forgotten: &str) {
        let args = vec![name_of(key).into_bytes(), forgotten.as_bytes().to_vec()];
        let keys = [self.keys.sessions()];
        if let Err(error) = self.pool.script("forget", &scripts::LEAVE, &keys, args, true).await {
            tracing::debug!(%error, "left a session in an index that is forgotten");
        }
    }

    /// Puts a session into its owner's index, at the place of when it was made.
    pub(crate) async fn note_made(
        &self,
        operation: &'static str,
        key: &SessionKey,
        made: Timestamp,
    ) -> Result<(), MemoryError> {
        let keys = [self.keys.index(&key.owner), self.keys.suspects(&key.owner)];
        let made = made.as_millis().to_string().into_bytes();
        let args = vec![made, key.id.as_str().as_bytes().to_vec()];
        self.pool.script(operation, &scripts::NOTE, &keys, args, true).await?;
        Ok(())
    }

    /// Suspects sessions that are not there, and drops those suspected for long.
    pub(crate) async fn prune_sessions(&self, owner: &Owner, ids: &[SessionId]) {
        if ids.is_empty() {
            return;
        }
        let keys = [self.keys.index(owner), self.keys.suspects(owner)];
        let mut args = vec![millis(GRACE)];
        args.extend(ids.iter().map(|it| it.as_str().as_bytes().to_vec()));
        let pruned = self.pool.script("prune the index", &scripts::PRUNE, &keys, args, true).await;
        if let Err(error) = pruned {
            tracing::debug!(%error, "left sessions in an index that are gone");
        }
    }

    /// Puts a turn, which is about to run, into the indexes.
    pub(crate) async fn note_turn(
        &self,
        operation: &'static str,
        key: &SessionKey,
        turn: TurnId,
        now: Timestamp,
    ) -> Result<(), MemoryError> {
        let mut place = command("SET", self.keys.turn(turn));
        place.arg(name_of(key));
        if let Some(ttl) = self.ttl {
            place.arg("PX").arg(millis(ttl.saturating_add(DAY)));
        }
        let mut open = command("ZADD", self.keys.open_turns());
        open.arg(now.as_millis()).arg(member(key, turn));
        future::try_join(
            self.pool.command(operation, place, true),
            self.pool.command(operation, open, true),
        )
        .await?;
        self.known.add(turn, key);
        Ok(())
    }

    /// Moves a turn that is over in the indexes. If that fails, whoever looks for unfinished turns
    /// does it.
    pub(crate) async fn note_end(&self, turn: &TurnRecord) {
        let Some(ended) = turn.ended_at else { return };
        let changed = self.note_changed(END, &turn.session, ended);
        let moved = self.move_turn(END, (&turn.session, turn.id), ended);
        if let Err(error) = future::try_join(moved, changed).await {
            tracing::debug!(%error, "left a turn in an index that is over");
        }
        self.take_back(&turn.session, ended, Some(turn.id)).await;
    }

    /// Moves a turn from the open ones to those that are over.
    pub(crate) async fn move_turn(
        &self,
        operation: &'static str,
        (key, turn): (&SessionKey, TurnId),
        ended: Timestamp,
    ) -> Result<(), MemoryError> {
        let keys = [self.keys.open_turns(), self.keys.ended_turns()];
        let ended = ended.as_millis().to_string();
        let args = [ended, member(key, turn)].map(String::into_bytes).into();
        self.pool.script(operation, &scripts::END, &keys, args, true).await?;
        Ok(())
    }

    /// Takes a turn that is gone out of the indexes.
    pub(crate) async fn drop_turn(&self, key: &SessionKey, turn: TurnId) {
        let member = member(key, turn);
        let gone = [
            command("DEL", self.keys.turn(turn)),
            command("ZREM", self.keys.open_turns()).arg(&member).to_owned(),
            command("ZREM", self.keys.ended_turns()).arg(&member).to_owned(),
        ];
        for command in gone {
            if let Err(error) = self.pool.command("drop the turn", command, true).await {
                tracing::debug!(%error, "left a turn in an index that is gone");
            }
        }
    }

    /// Which session a turn belongs to, if it was ever about to open.
    pub(crate) async fn session_of(
        &self,
        operation: &'static str,
        turn: TurnId,
    ) -> Result<Option<SessionKey>, MemoryError> {
        if let Some(known) = self.known.get(turn) {
            return Ok(Some(known));
        }
        let place = command("GET", self.keys.turn(turn));
        let found = self.pool.command(operation, place, false).await?;
        let Some(name) = Reply(operation).optional_text(found)? else { return Ok(None) };
        let key = parse_name(&name).ok_or_else(|| Reply(operation).corrupt())?;
        self.known.add(turn, &key);
        Ok(Some(key))
    }

    /// What a claim says: the turn and its session.
    pub(crate) async fn claim(
        &self,
        operation: &'static str,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<String>, MemoryError> {
        let claim = command("GET", self.keys.claim(owner, key));
        Reply(operation).optional_text(self.pool.command(operation, claim, false).await?)
    }

    /// Replaces what a claim says, if it is this; returns what it says in the end.
    pub(crate) async fn set_claim(
        &self,
        operation: &'static str,
        (owner, key): (&Owner, &IdempotencyKey),
        (from, to): (&str, &str),
    ) -> Result<String, MemoryError> {
        let args =
            vec![from.as_bytes().to_vec(), to.as_bytes().to_vec(), millis(Idempotency::LIFE)];
        let keys = [self.keys.claim(owner, key)];
        let says = self.pool.script(operation, &scripts::CLAIM, &keys, args, true).await?;
        Reply(operation).text(says)
    }

    /// An index entry of an open turn: the turn if it is open; tidies up if it is not.
    async fn unfinished_one(
        &self,
        (name, opened): (String, i64),
        now: Timestamp,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let Some((id, key)) = parse_member(&name) else { return Ok(None) };
        match self.look_at_turn(UNFINISHED, (&key, id), Look::at([])).await? {
            Some(found) if found.turn.state.is_open() => return Ok(Some(found.turn)),
            Some(found) => self.note_end(&found.turn).await,
            None if GRACE < now.since(Timestamp::from_millis(opened)) => {
                let keys = [self.keys.open_turns()];
                let args = vec![name.into_bytes(), opened.to_string().into_bytes(), Vec::new()];
                let left =
                    self.pool.script(UNFINISHED, &scripts::RESCORE, &keys, args, true).await?;
                if Reply(UNFINISHED).int(left)? == 1 {
                    self.drop_turn(&key, id).await;
                }
            }
            None => {}
        }
        Ok(None)
    }
}

/// What a claim says of a turn.
pub(crate) fn claim_of(turn: TurnId, key: &SessionKey) -> String {
    member(key, turn)
}

/// Reads what a claim says.
pub(crate) fn parse_claim(claim: &str) -> Option<(TurnId, SessionKey)> {
    parse_member(claim)
}

#[async_trait]
impl TurnIndex for RedisStore {
    async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnRecord>, MemoryError> {
        Ok(self.turn_of(FIND, Some(owner), turn).await?.map(|it| it.turn))
    }

    async fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let claim = self.claim(FIND, owner, key).await?;
        let Some((turn, session)) = claim.as_deref().and_then(parse_claim) else {
            return Ok(None);
        };
        let found = self.look_at_turn(FIND, (&session, turn), Look::at([])).await?;
        let fits = |it: &SeenTurn| {
            let known = it.turn.idempotency.as_ref().is_some_and(|it| it.key == *key);
            known && it.seen.now.since(it.turn.opened_at) < Idempotency::LIFE
        };
        Ok(found.filter(fits).map(|it| it.turn))
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let attempts = Attempts::new(CANCEL);
        loop {
            let Some(found) = self.turn_of(CANCEL, Some(owner), turn).await? else {
                return Ok(None);
            };
            let guards = vec![found.guard()];
            let mut turn = found.turn;
            if turn.cancel_requested || !turn.state.is_open() {
                return Ok(Some(turn));
            }
            turn.cancel_requested = true;
            let sets = vec![record::record_field(CANCEL, &turn)?];
            let change = Change { guards, sets, ..Change::default() };
            if self.commit(CANCEL, &turn.session, change).await? == Committed::Yes {
                return Ok(Some(turn));
            }
            attempts.again()?;
        }
    }

    async fn unfinished(&self) -> Result<Vec<TurnRecord>, MemoryError> {
        let now = self.now(UNFINISHED).await?;
        let mut open = command("ZRANGE", self.keys.open_turns());
        open.arg(0).arg(-1).arg("WITHSCORES");
        let open = scored(Reply(UNFINISHED), self.pool.command(UNFINISHED, open, false).await?)?;
        let found = stream::iter(open.into_iter().map(|it| self.unfinished_one(it, now)));
        let found: Vec<_> = found.buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn lapsed(&self, limit: usize) -> Result<Vec<TurnRecord>, MemoryError> {
        let now = self.now(LAPSED).await?;
        let first = self.looked.load(Ordering::Relaxed);
        let mut open = command("ZRANGE", self.keys.open_turns());
        open.arg(first).arg(first + LOOKED - 1).arg("WITHSCORES");
        let open = scored(Reply(LAPSED), self.pool.command(LAPSED, open, false).await?)?;
        let is_end = open.len() < LOOKED;
        let found = stream::iter(open.into_iter().map(|it| self.unfinished_one(it, now)));
        let found: Vec<_> = found.buffered(AT_ONCE).try_collect().await?;
        let mut found: Vec<_> =
            found.into_iter().flatten().filter(|it| it.has_lapsed(now)).collect();
        if is_end {
            self.looked.store(0, Ordering::Relaxed);
        } else if found.len() <= limit {
            self.looked.store(first + LOOKED, Ordering::Relaxed);
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn turns_of(&self, key: &SessionKey) -> Result<Vec<TurnRecord>, MemoryError> {
        let turns = self.turns_in(TURNS, key).await?;
        let looks =
            turns.into_iter().map(|it| self.look_at_turn(TURNS, (key, it.id), Look::at([])));
        let found: Vec<_> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let mut turns: Vec<_> = found.into_iter().flatten().map(|it| it.turn).collect();
        turns.sort_by_cached_key(|it| (it.opened_at, it.id.to_string()));
        turns.dedup_by_key(|it| it.id); // a scan may name a field twice
        turns.iter().for_each(|it| self.known.add(it.id, key));
        Ok(turns)
    }
}
