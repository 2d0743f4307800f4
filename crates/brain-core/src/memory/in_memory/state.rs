//! Everything the store holds, and what concerns sessions and turns together.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    conflict,
    recall::{Found, Indexed},
    room::Room,
    session::{Arrivals, StoredSession},
    weight,
};
use crate::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, TurnId},
    memory::{
        Append, Appended, Edition, Expect, ExportPart, ExportedSession, Forget, Forgotten,
        ListOptions, MemoryError, NewSession, PageKey, Restored, Session, SessionPatch, Summary,
        TurnRecord,
    },
    time::Timestamp,
};

/// Everything the store holds.
#[derive(Default)]
pub(super) struct State {
    pub(super) sessions: BTreeMap<SessionKey, StoredSession>,
    pub(super) turns: HashMap<TurnId, TurnRecord>,
    pub(super) keys: HashMap<(Owner, IdempotencyKey), TurnId>,
    arrivals: Arrivals,
    /// Forgotten sessions that may have copies elsewhere, and when that was.
    unsettled: BTreeMap<SessionKey, Timestamp>,
    pub(super) room: Room,
}

/// How long a forgotten session is noted as unsettled.
const UNSETTLED: Duration = Duration::from_secs(24 * 60 * 60);

impl State {
    pub(super) fn append(
        &mut self,
        key: &SessionKey,
        append: &Indexed<'_>,
        now: Timestamp,
    ) -> Result<Appended, MemoryError> {
        if let Some(known) = self.known_append(key, append) {
            return Ok(known);
        }
        self.check_fence(key, append.fence)?;
        let appended = self.write(key, append, Some(NewSession::default()), now)?;
        self.note_append(append, appended);
        Ok(appended)
    }

    pub(super) fn known_append(&self, key: &SessionKey, append: &Append) -> Option<Appended> {
        self.sessions.get(key).and_then(|it| it.known(&append.append_id))
    }

    /// Appends; makes the session by `create` if the appender expects that there is none.
    pub(super) fn write(
        &mut self,
        key: &SessionKey,
        append: &Indexed<'_>,
        create: Option<NewSession>,
        now: Timestamp,
    ) -> Result<Appended, MemoryError> {
        self.room.check(weight::append(append) + weight::found(&append.found))?;
        let written = self.change(key, |it, arrivals| it.append(append, now, arrivals));
        let appended = match written {
            Some(appended) => appended?,
            None => self.write_first(key, append, create, now)?,
        };
        self.arm(key);
        Ok(appended)
    }

    fn write_first(
        &mut self,
        key: &SessionKey,
        append: &Indexed<'_>,
        create: Option<NewSession>,
        now: Timestamp,
    ) -> Result<Appended, MemoryError> {
        let Some(new) = create.filter(|_| append.expect == Expect::Absent) else {
            return Err(conflict("append to the session"));
        };
        let mut session = StoredSession::new(key, new, now);
        let appended = session.append(append, now, &mut self.arrivals)?;
        self.insert(key, session);
        Ok(appended)
    }

    /// Changes a session, and keeps count of what it takes; `None` if there is no such session.
    pub(super) fn change<T>(
        &mut self,
        key: &SessionKey,
        change: impl FnOnce(&mut StoredSession, &mut Arrivals) -> T,
    ) -> Option<T> {
        let session = self.sessions.get_mut(key)?;
        let before = session.weight();
        let changed = change(session, &mut self.arrivals);
        self.room.change(before, session.weight());
        Some(changed)
    }

    /// What everything takes, counted afresh.
    #[cfg(test)]
    pub(super) fn weighed(&self) -> usize {
        let sessions: usize = self.sessions.values().map(StoredSession::weighed).sum();
        sessions + self.turns.values().map(weight::turn).sum::<usize>()
    }

    fn insert(&mut self, key: &SessionKey, session: StoredSession) {
        self.room.change(0, session.weight());
        self.sessions.insert(key.clone(), session);
        self.arm(key);
    }

    fn remove(&mut self, key: &SessionKey) -> Option<StoredSession> {
        let session = self.sessions.remove(key)?;
        self.room.change(session.weight(), 0);
        self.room.disarm(key, session.end);
        self.forget_turns(key);
        Some(session)
    }

    /// The session was appended to, or a turn of it goes on: its life begins again.
    pub(super) fn arm(&mut self, key: &SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.end = self.room.arm(key, session.end);
        }
    }

    /// Drops the sessions that have ended by now.
    pub(super) fn sweep(&mut self, now: Duration) {
        while let Some(key) = self.room.next_ended(now) {
            drop(self.remove(&key));
        }
    }

    pub(super) fn create(
        &mut self,
        key: &SessionKey,
        new: NewSession,
        now: Timestamp,
    ) -> Result<Session, MemoryError> {
        if self.sessions.contains_key(key) {
            return Err(conflict("create the session"));
        }
        let stored = StoredSession::new(key, new, now);
        self.room.check(stored.weight())?;
        let session = stored.session.clone();
        self.insert(key, stored);
        Ok(session)
    }

    pub(super) fn patch(
        &mut self,
        key: &SessionKey,
        patch: SessionPatch,
        now: Timestamp,
    ) -> Result<Option<Session>, MemoryError> {
        self.room.check(weight::patch(&patch))?;
        Ok(self.change(key, |it, _| it.patch(patch, now)))
    }

    pub(super) fn keep_summary(
        &mut self,
        key: &SessionKey,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        self.room.check(weight::summary(&summary))?;
        let kept = self.change(key, |it, _| it.keep_summary(edition, summary));
        kept.unwrap_or_else(|| Err(conflict("keep a summary")))
    }

    pub(super) fn forget(
        &mut self,
        key: &SessionKey,
        forget: Forget,
        now: Timestamp,
    ) -> Result<Forgotten, MemoryError> {
        let may_go =
            |it: &StoredSession| it.session.may_be_forgotten(forget, it.open_turn.is_some());
        if !self.sessions.get(key).is_none_or(may_go) {
            return Err(conflict("forget the session"));
        }
        let Some(session) = self.remove(key) else { return Ok(Forgotten::default()) };
        self.unsettled.insert(key.clone(), now);
        Ok(Forgotten { erased: session.entries().len() as u64, pending: 0 })
    }

    pub(super) fn forget_entry(
        &mut self,
        key: &SessionKey,
        seq: Seq,
        now: Timestamp,
    ) -> Result<Forgotten, MemoryError> {
        let erased = self.change(key, |it, _| it.forget_entry(seq, now)).unwrap_or(Ok(false))?;
        if erased {
            self.forget_input(key, seq);
        }
        Ok(Forgotten { erased: u64::from(erased), pending: 0 })
    }

    pub(super) fn export(&self, owner: &Owner) -> Vec<ExportPart> {
        let mut sessions: Vec<&StoredSession> = self.of_owner(owner).map(|(_, it)| it).collect();
        sessions.sort_unstable_by_key(|it| PageKey::from(&it.session));
        sessions.into_iter().flat_map(StoredSession::export).collect()
    }

    pub(super) fn idle_since(&self, before: Timestamp, limit: usize) -> Vec<SessionKey> {
        let idle = self.sessions.iter().filter(|(_, it)| it.open_turn.is_none());
        let mut idle: Vec<_> = idle
            .map(|(key, it)| (it.session.updated_at, key))
            .filter(|(updated_at, _)| *updated_at < before)
            .collect();
        idle.sort_unstable();
        idle.into_iter().take(limit).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn unsettled(&mut self, limit: usize, now: Timestamp) -> Vec<SessionKey> {
        self.unsettled.retain(|_, forgotten| now.since(*forgotten) < UNSETTLED);
        self.unsettled.keys().take(limit).cloned().collect()
    }

    pub(super) fn settle(&mut self, key: &SessionKey) {
        self.unsettled.remove(key);
    }

    pub(super) fn list(&self, owner: &Owner, options: &ListOptions) -> Vec<Session> {
        let mut page: Vec<&Session> = self
            .of_owner(owner)
            .map(|(_, it)| &it.session)
            .filter(|it| options.before.as_ref().is_none_or(|before| PageKey::from(*it) < *before))
            .collect();
        page.sort_unstable_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        page.into_iter().take(options.limit).cloned().collect()
    }

    pub(super) fn move_in(
        &mut self,
        key: &SessionKey,
        import: (&ExportedSession, &Found),
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        let turns: Vec<_> = turns.iter().filter(|it| !self.turns.contains_key(&it.id)).collect();
        let more: usize = turns.iter().map(|it| weight::turn(it)).sum();
        self.room.check(weight::exported(import.0) + weight::found(import.1) + more)?;
        let extended = self.change(key, |it, arrivals| it.extend(import, arrivals));
        let restored = match extended {
            Some(extended) => extended?,
            None => {
                let session = StoredSession::restored(key, import, &mut self.arrivals);
                self.insert(key, session);
                Restored::Created
            }
        };
        turns.into_iter().for_each(|it| self.keep_turn(key, it));
        Ok(restored)
    }

    pub(super) fn of_owner(
        &self,
        owner: &Owner,
    ) -> impl Iterator<Item = (&SessionKey, &StoredSession)> {
        self.sessions.iter().filter(move |(key, _)| key.owner == *owner)
    }
}
