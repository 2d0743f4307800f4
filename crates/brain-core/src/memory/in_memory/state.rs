//! Everything the store holds, and what concerns sessions and turns together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    conflict,
    session::{Arrivals, StoredSession},
};
use crate::{
    ids::{IdempotencyKey, Owner, Seq, SessionKey, TurnId},
    memory::{
        Append, Appended, Expect, ExportPart, ExportedSession, Forgotten, ListOptions, MemoryError,
        NewSession, PageKey, Restored, Session, TurnRecord,
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
    /// Forgotten sessions that may have copies elsewhere.
    unsettled: BTreeSet<SessionKey>,
}

impl State {
    pub(super) fn append(
        &mut self,
        key: &SessionKey,
        append: &Append,
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
        append: &Append,
        create: Option<NewSession>,
        now: Timestamp,
    ) -> Result<Appended, MemoryError> {
        if let Some(session) = self.sessions.get_mut(key) {
            return session.append(append, now, &mut self.arrivals);
        }
        let Some(new) = create.filter(|_| append.expect == Expect::Absent) else {
            return Err(conflict("append to the session"));
        };
        let mut session = StoredSession::new(key, new, now);
        let appended = session.append(append, now, &mut self.arrivals)?;
        self.sessions.insert(key.clone(), session);
        Ok(appended)
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
        let session = stored.session.clone();
        self.sessions.insert(key.clone(), stored);
        Ok(session)
    }

    pub(super) fn forget(&mut self, key: &SessionKey) -> Forgotten {
        let Some(session) = self.sessions.remove(key) else { return Forgotten::default() };
        self.forget_turns(key);
        self.unsettled.insert(key.clone());
        Forgotten { erased: session.entries().len() as u64, pending: 0 }
    }

    pub(super) fn forget_entry(
        &mut self,
        key: &SessionKey,
        seq: Seq,
        now: Timestamp,
    ) -> Result<Forgotten, MemoryError> {
        let session = self.sessions.get_mut(key);
        let erased = session.map_or(Ok(false), |it| it.forget_entry(seq, now))?;
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

    pub(super) fn unsettled(&self, limit: usize) -> Vec<SessionKey> {
        self.unsettled.iter().take(limit).cloned().collect()
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

    pub(super) fn restore(
        &mut self,
        key: &SessionKey,
        import: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        import.check_tree()?;
        if let Some(session) = self.sessions.get_mut(key) {
            return session.extend(import, &mut self.arrivals);
        }
        let session = StoredSession::restored(key, import, &mut self.arrivals);
        self.sessions.insert(key.clone(), session);
        Ok(Restored::Created)
    }

    pub(super) fn of_owner(
        &self,
        owner: &Owner,
    ) -> impl Iterator<Item = (&SessionKey, &StoredSession)> {
        self.sessions.iter().filter(move |(key, _)| key.owner == *owner)
    }
}
