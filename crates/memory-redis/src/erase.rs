//! Forgetting: a session with everything under its name, or what one entry says.

use std::time::Duration;

use brain_core::{
    ids::{Seq, SessionKey, TurnId},
    memory::{Draft, EntryStatus, Forget, Forgotten, MemoryError, MemoryErrorKind},
};

use futures_util::{StreamExt, stream};

use crate::{
    index::AT_ONCE,
    keys,
    record::{self, Outline},
    reply::Reply,
    scripts,
    state::{Description, Stored},
    store::{Attempts, Change, Committed, Look, RedisStore, Seen, millis},
    summaries, value,
};

const FORGET: &str = "forget the session";
const FORGET_ENTRY: &str = "forget the entry";
/// How long a burial is kept: longer than anything that could still be under way.
pub(crate) const BURIAL: Duration = Duration::from_secs(24 * 60 * 60);

impl RedisStore {
    /// [`brain_core::memory::SessionLog::forget`]: erases session and copy, and leaves a burial.
    pub(crate) async fn erase(
        &self,
        key: &SessionKey,
        forget: Forget,
    ) -> Result<Forgotten, MemoryError> {
        let done = self.try_to_erase(key, forget).await;
        match (&done, forget) {
            (Ok(_), _) => self.unforgotten.remove(key),
            (Err(_), Forget::Always) => self.unforgotten.add(key),
            (Err(_), Forget::IfIdleSince(_)) => {}
        }
        done
    }

    async fn try_to_erase(
        &self,
        key: &SessionKey,
        forget: Forget,
    ) -> Result<Forgotten, MemoryError> {
        let used = || MemoryError::new(FORGET, MemoryErrorKind::Conflict);
        let seen = self.look(FORGET, key, Look::default()).await?;
        if let Some(Stored { session, state, .. }) = &seen.stored {
            if !session.may_be_forgotten(forget, state.held.is_some()) {
                return Err(used());
            }
            match self.note_forgotten(FORGET, (key, seen.now)).await {
                // Forgetting makes room; that it is noted does not stand in its way.
                Err(error) if error.kind() == MemoryErrorKind::Full => {
                    tracing::warn!(%error, "could not note what is forgotten");
                }
                noted => noted?,
            }
        }
        let mut turns = self.turns_in(FORGET, key).await?;
        let keys = [
            self.keys.session(key),
            self.keys.copy(key),
            self.keys.staged(key),
            self.keys.burial(key),
        ];
        let idle_since = match forget {
            Forget::Always => Vec::new(),
            Forget::IfIdleSince(before) => before.as_millis().to_string().into_bytes(),
        };
        let args = vec![self.given_now(), millis(BURIAL), idle_since];
        let erased = self.pool.script(FORGET, &scripts::FORGET, &keys, args, true).await?;
        let reply = Reply(FORGET);
        let [erased, when, open, record] = reply.array(erased)?;
        let record = reply.bytes(record)?.unwrap_or_default();
        let erased = match reply.text(erased)?.as_str() {
            "" => 0,
            "used" => {
                self.unnote_forgotten(FORGET, (key, seen.now)).await;
                return Err(used());
            }
            count => count.parse().map_err(|_| reply.corrupt())?,
        };
        self.touched.forget(key);
        self.leave(key, &reply.text(when)?).await;
        // It may have opened after the others were found.
        if let Some(id) = TurnId::parse(&reply.text(open)?).filter(|_| !record.is_empty()) {
            turns.push(record::outline(reply, id, &record)?);
        }
        self.drop_turns(key, turns).await;
        self.prune_sessions(&key.owner, std::slice::from_ref(&key.id)).await;
        Ok(Forgotten { erased, pending: 0 })
    }

    /// The turns that a session has, over or not.
    pub(crate) async fn turns_in(
        &self,
        operation: &'static str,
        key: &SessionKey,
    ) -> Result<Vec<Outline>, MemoryError> {
        let reply = Reply(operation);
        let mut turns = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(self.keys.session(key)).arg(&cursor);
            scan.arg("MATCH").arg("t:*").arg("COUNT").arg(1000);
            let found = self.pool.command(operation, scan, false).await?;
            let [next, found] = reply.array(found)?;
            let mut found = reply.fields(found)?.into_iter().flatten();
            while let (Some(name), Some(record)) = (found.next(), found.next()) {
                let id = reply.parsed(&name, |it| TurnId::parse(it.strip_prefix("t:")?))?;
                turns.push(record::outline(reply, id, &record)?);
            }
            cursor = reply.text(next)?;
            if cursor == "0" {
                return Ok(turns);
            }
        }
    }

    /// Frees the keys of turns that are gone, and takes them out of the indexes.
    pub(crate) async fn drop_turns(&self, key: &SessionKey, turns: Vec<Outline>) {
        let gone = turns.into_iter().map(|turn| async move {
            if let Some(known) = &turn.idempotency {
                self.free_key(key, (turn.id, &known.key)).await;
            }
            self.drop_turn(key, turn.id).await;
        });
        stream::iter(gone).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// [`brain_core::memory::SessionLog::forget_entry`].
    pub(crate) async fn erase_entry(
        &self,
        key: &SessionKey,
        seq: Seq,
    ) -> Result<Forgotten, MemoryError> {
        let attempts = Attempts::new(FORGET_ENTRY);
        loop {
            let look = Look::at([keys::entry(seq), keys::SUMMARIES.to_vec()]);
            let seen = self.look(FORGET_ENTRY, key, look).await?;
            let Some(mut change) = without_entry(&seen, seq)? else {
                return Ok(Forgotten::default());
            };
            // What a turn was asked says the same as the entry.
            let mut turns = self.turns_in(FORGET_ENTRY, key).await?;
            turns.retain(|it| it.input == Some(seq));
            change.drops.extend(turns.iter().flat_map(|it| keys::turn(it.id)));
            if self.commit(FORGET_ENTRY, key, change).await? == Committed::Yes {
                // A restore may have carried the entry over.
                let mut staged = redis::cmd("UNLINK");
                staged.arg(self.keys.staged(key));
                self.pool.command(FORGET_ENTRY, staged, true).await?;
                self.drop_turns(key, turns).await;
                return Ok(Forgotten { erased: 1, pending: 0 });
            }
            attempts.again()?;
        }
    }
}

/// The session without what the entry says; `None` if it says nothing.
fn without_entry(seen: &Seen, seq: Seq) -> Result<Option<Change>, MemoryError> {
    let Some(mut stored) = seen.stored.clone() else { return Ok(None) };
    if stored.state.held.is_some() {
        return Err(MemoryError::new(FORGET_ENTRY, MemoryErrorKind::Conflict));
    }
    let reply = Reply(FORGET_ENTRY);
    let Some(value) = seen.field(0) else { return Ok(None) };
    let entry = value::read(seq, value)?;
    if entry.body.status == EntryStatus::Forgotten {
        return Ok(None);
    }
    let left = Draft::new(entry.body.forgotten())?;
    let description = (keys::DESCRIPTION.to_vec(), stored.description.clone());
    stored.session.forgot_entry(seen.now);
    stored.description = Description::of(FORGET_ENTRY, stored.state.born, &stored.session)?;
    stored.changed(stored.session.token, seen.now);
    let mut sets = stored.sets();
    sets.push(stored.description_field());
    sets.push((keys::entry(seq), value::value(entry.parent, &left)));
    sets.push((keys::forgotten(seq), b"1".to_vec()));
    let places = seen.field(1);
    let guards = vec![
        seen.guard(),
        description,
        (keys::SUMMARIES.to_vec(), places.unwrap_or_default().to_vec()),
    ];
    let mut places = summaries::parse_places(reply, places)?;
    let gone: Vec<Seq> = places.iter().copied().filter(|it| seq <= *it).collect();
    places.retain(|it| *it < seq);
    let mut drops: Vec<Vec<u8>> = gone.into_iter().map(keys::summary).collect();
    drops.push(keys::embedding(seq));
    let mut change = Change { guards, sets, drops, ..Change::default() };
    summaries::put_places(&mut change, &places);
    Ok(Some(change))
}
