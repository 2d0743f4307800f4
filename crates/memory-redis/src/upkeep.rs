//! What background work asks, across owners: by indexes of all sessions and of all turns.

use std::collections::BTreeSet;

use async_trait::async_trait;
use brain_core::{
    ids::{IdempotencyKey, Owner, SessionKey, TurnId},
    memory::{Catalog, ListOptions, MemoryError, Session, TurnRecord, Upkeep},
    time::Timestamp,
};
use futures_util::{StreamExt, TryStreamExt, future, stream};

use crate::{
    erase::BURIAL,
    index::{AT_ONCE, GRACE, claim_of, parse_member, scored},
    keys::{self, name_of, parse_name},
    reply::Reply,
    scripts,
    state::Stored,
    store::{Change, Committed, Look, RedisStore, millis},
};

const IDLE: &str = "find idle sessions";
const PRUNE: &str = "drop old turns";
const PENDING: &str = "see what is forgotten";
const UNSETTLED: &str = "find what is forgotten";
/// How many members of an index are looked at at a time.
const PAGE: usize = 500;

/// A session of the index of all, as it was looked at.
struct Looked {
    /// What the index said of it.
    noted: i64,
    /// Whether it has left that place for its right one, or the index.
    moved: bool,
    /// When it was last changed, if it is there without an open turn.
    idle: Option<(Timestamp, SessionKey)>,
}

/// What became of an old turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pruned {
    Yes,
    /// It was gone before, and has left the index.
    Gone,
    /// It stays in the index.
    No,
}

/// Where a walk begins; no session is older.
const START: Cursor = Cursor { from: i64::MIN, skip: 0 };

/// Where a walk over an index by number goes on.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    from: i64,
    /// How many of that number were seen.
    skip: usize,
}

impl Cursor {
    /// After these, of which some have moved.
    fn after(self, page: &[Looked]) -> Self {
        let Some(last) = page.last() else { return self };
        let stay = page.iter().filter(|it| it.noted == last.noted && !it.moved).count();
        let before = if last.noted == self.from { self.skip } else { 0 };
        Self { from: last.noted, skip: before + stay }
    }
}

impl RedisStore {
    /// Members of an index with numbers below that of a time, the lowest first.
    async fn members_before(
        &self,
        operation: &'static str,
        (index, before): (Vec<u8>, Timestamp),
        (cursor, limit): (Cursor, usize),
    ) -> Result<Vec<(String, i64)>, MemoryError> {
        let mut range = redis::cmd("ZRANGEBYSCORE");
        range.arg(index).arg(cursor.from).arg(format!("({}", before.as_millis()));
        range.arg("WITHSCORES").arg("LIMIT").arg(cursor.skip).arg(limit);
        scored(Reply(operation), self.pool.command(operation, range, false).await?)
    }

    /// Looks at a session of the index of all, and puts it right there.
    async fn look_at_idle(
        &self,
        (name, noted): (String, i64),
        now: Timestamp,
    ) -> Result<Looked, MemoryError> {
        let stays = Looked { noted, moved: false, idle: None };
        let Some(key) = parse_name(&name) else { return Ok(stays) };
        let (number, idle) = match self.stored(IDLE, &key).await? {
            Some(Stored { session, state, .. }) => {
                let changed = session.updated_at;
                let idle = state.held.is_none().then_some((changed, key));
                if changed.as_millis() == noted {
                    return Ok(Looked { idle, ..stays });
                }
                (changed.as_millis().to_string(), idle)
            }
            None if now.since(Timestamp::from_millis(noted)) <= GRACE => return Ok(stays),
            None => {
                self.prune_sessions(&key.owner, std::slice::from_ref(&key.id)).await;
                (String::new(), None)
            }
        };
        let args = [name, noted.to_string(), number].map(String::into_bytes).into();
        let keys = [self.keys.sessions()];
        self.pool.script(IDLE, &scripts::RESCORE, &keys, args, true).await?;
        Ok(Looked { noted, moved: true, idle })
    }

    /// Drops the record of a turn, if it ended before then.
    async fn prune_turn(
        &self,
        (member, before): (String, Timestamp),
    ) -> Result<Pruned, MemoryError> {
        let Some((id, key)) = parse_member(&member) else { return Ok(Pruned::No) };
        let found = self.look_at_turn(PRUNE, (&key, id), Look::at([])).await?;
        let ended = |turn: &TurnRecord| turn.ended_at.is_some_and(|it| it < before);
        let Some(found) = found else {
            self.drop_turn(&key, id).await;
            return Ok(Pruned::Gone);
        };
        if !ended(&found.turn) {
            return Ok(Pruned::No);
        }
        let guards = vec![found.guard()];
        let drops = keys::turn(id).into();
        let change = Change { guards, drops, unnoticed: true, ..Change::default() };
        if self.commit(PRUNE, &key, change).await? != Committed::Yes {
            return Ok(Pruned::No);
        }
        if let Some(known) = &found.turn.idempotency {
            self.free_key(&key, (id, &known.key)).await;
        }
        self.drop_turn(&key, id).await;
        Ok(Pruned::Yes)
    }

    /// Frees the client's key of a turn that is gone.
    pub(crate) async fn free_key(
        &self,
        key: &SessionKey,
        (turn, known): (TurnId, &IdempotencyKey),
    ) {
        let own = claim_of(turn, key);
        let claim = (&key.owner, known);
        if let Err(error) = self.set_claim("free the key", claim, (&own, "")).await {
            tracing::debug!(%error, "left a key claimed for a turn that is gone");
        }
    }

    /// Drops the names of sessions that were forgotten more than a day ago.
    async fn trim_forgotten(&self, operation: &'static str) -> Result<(), MemoryError> {
        let day = i64::try_from(BURIAL.as_millis()).unwrap_or(i64::MAX);
        let old = self.now(operation).await?.as_millis().saturating_sub(day);
        let mut drop = redis::cmd("ZREMRANGEBYSCORE");
        drop.arg(self.keys.forgotten()).arg("-inf").arg(format!("({old}"));
        self.pool.command(operation, drop, true).await?;
        Ok(())
    }

    /// Drops the names of sessions that have expired.
    async fn trim_expired(&self) -> Result<(), MemoryError> {
        let Some(ttl) = self.ttl else { return Ok(()) };
        let life = i64::try_from(ttl.saturating_add(GRACE).as_millis()).unwrap_or(i64::MAX);
        let old = self.now(PRUNE).await?.as_millis().saturating_sub(life);
        // Whoever looks at them drops those that are gone.
        self.idle_since(Timestamp::from_millis(old), usize::MAX).await?;
        Ok(())
    }

    /// Takes the note of a session that is about to be forgotten back, if it is still that one.
    pub(crate) async fn unnote_forgotten(
        &self,
        operation: &'static str,
        (key, now): (&SessionKey, Timestamp),
    ) {
        let keys = [self.keys.forgotten()];
        let args = [name_of(key), now.as_millis().to_string(), String::new()];
        let args = args.map(String::into_bytes).into();
        if let Err(error) = self.pool.script(operation, &scripts::RESCORE, &keys, args, true).await
        {
            tracing::debug!(%error, "left a session among the forgotten that is not");
        }
    }

    /// Notes that a session is about to be forgotten.
    pub(crate) async fn note_forgotten(
        &self,
        operation: &'static str,
        (key, now): (&SessionKey, Timestamp),
    ) -> Result<(), MemoryError> {
        let keys = [self.keys.forgotten()];
        let args = vec![
            now.as_millis().to_string().into_bytes(),
            name_of(key).into_bytes(),
            millis(BURIAL),
        ];
        self.pool.script(operation, &scripts::OWE, &keys, args, true).await?;
        Ok(())
    }
}

/// Whether the session was to be forgotten, and Redis did not do it: `noted` is when, and
/// `buried` when one of its name was forgotten.
fn is_owed(session: &Session, noted: Option<i64>, buried: Option<i64>) -> bool {
    let made = session.created_at.as_millis();
    noted.is_some_and(|it| made <= it && buried.is_none_or(|buried| buried < it))
}

#[async_trait]
impl Upkeep for RedisStore {
    async fn named(
        &self,
        owner: &Owner,
        options: ListOptions,
    ) -> Result<Vec<Session>, MemoryError> {
        self.list(owner, options).await
    }

    async fn idle_since(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, MemoryError> {
        let now = self.now(IDLE).await?;
        let (mut idle, mut cursor) = (BTreeSet::new(), START);
        while idle.len() < limit {
            let index = (self.keys.sessions(), before);
            let page = self.members_before(IDLE, index, (cursor, PAGE)).await?;
            let whole = page.len() == PAGE;
            let found = stream::iter(page.into_iter().map(|it| self.look_at_idle(it, now)));
            let found: Vec<Looked> = found.buffered(AT_ONCE).try_collect().await?;
            cursor = cursor.after(&found);
            // What has moved further on is met there, where its turn is.
            let is_passed = |changed: Timestamp| {
                changed < before && (!whole || changed.as_millis() <= cursor.from)
            };
            idle.extend(found.into_iter().filter_map(|it| it.idle).filter(|it| is_passed(it.0)));
            if !whole {
                break;
            }
        }
        Ok(idle.into_iter().take(limit).map(|(_, key)| key).collect())
    }

    async fn prune_turns(&self, before: Timestamp) -> Result<u64, MemoryError> {
        self.trim_forgotten(PRUNE).await?;
        self.trim_expired().await?;
        let (mut pruned, mut cursor) = (0, START);
        loop {
            let page = (self.keys.ended_turns(), before);
            let page = self.members_before(PRUNE, page, (cursor, PAGE)).await?;
            let whole = page.len() == PAGE;
            let done = page.into_iter().map(|(member, _)| self.prune_turn((member, before)));
            let done: Vec<Pruned> = stream::iter(done).buffered(AT_ONCE).try_collect().await?;
            pruned += done.iter().filter(|it| **it == Pruned::Yes).count() as u64;
            cursor.skip += done.iter().filter(|it| **it == Pruned::No).count();
            if !whole {
                return Ok(pruned);
            }
        }
    }

    async fn unsettled(&self, limit: usize) -> Result<Vec<SessionKey>, MemoryError> {
        self.trim_forgotten(UNSETTLED).await?;
        let page = (self.keys.forgotten(), Timestamp::from_millis(i64::MAX));
        let found = self.members_before(UNSETTLED, page, (START, limit)).await?;
        Ok(found.iter().filter_map(|(name, _)| parse_name(name)).collect())
    }

    async fn settle(&self, key: &SessionKey) -> Result<(), MemoryError> {
        let mut settled = redis::cmd("ZREM");
        settled.arg(self.keys.forgotten()).arg(name_of(key));
        self.pool.command(UNSETTLED, settled, true).await?;
        Ok(())
    }

    async fn pending(&self, key: &SessionKey) -> Result<u64, MemoryError> {
        let (mut noted, mut buried) = (redis::cmd("ZSCORE"), redis::cmd("GET"));
        noted.arg(self.keys.forgotten()).arg(name_of(key));
        buried.arg(self.keys.burial(key));
        let time = async |command| {
            let reply = Reply(PENDING);
            let found = self.pool.command(PENDING, command, false).await?;
            let text = reply.optional_text(found)?;
            text.map(|it| it.parse::<i64>().map_err(|_| reply.corrupt())).transpose()
        };
        let found = future::try_join3(self.stored(PENDING, key), time(noted), time(buried));
        let (Some(Stored { session, .. }), noted, buried) = found.await? else { return Ok(0) };
        let is_owed = self.unforgotten.has(key) || is_owed(&session, noted, buried);
        Ok(if is_owed { session.entries.max(1) } else { 0 })
    }
}
