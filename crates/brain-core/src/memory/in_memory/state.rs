//! Everything the store holds, and what concerns sessions and turns together.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use super::{
    conflict,
    session::{Arrivals, StoredSession},
};
use crate::{
    chat::Message,
    ids::{IdempotencyKey, Owner, SessionKey, TurnId},
    memory::{
        Append, Appended, Expect, ExportedSession, Forgotten, Hit, ListOptions, MemoryError,
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
        Forgotten { erased: session.entries().len() as u64, pending: 0 }
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

    pub(super) fn search(&self, owner: &Owner, query: &str, limit: usize) -> Vec<Hit> {
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        if words.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<(u64, Hit)> = Vec::new();
        for (key, session) in self.of_owner(owner) {
            for it in session.entries().iter().filter(|it| holds(&it.entry.body.message, &words)) {
                found.push((it.arrival, Hit { session: key.clone(), entry: it.entry.clone() }));
            }
        }
        found.sort_unstable_by_key(|(arrival, _)| Reverse(*arrival));
        found.into_iter().take(limit).map(|(_, hit)| hit).collect()
    }

    fn of_owner(&self, owner: &Owner) -> impl Iterator<Item = (&SessionKey, &StoredSession)> {
        self.sessions.iter().filter(move |(key, _)| key.owner == *owner)
    }
}

fn holds(message: &Message, words: &[String]) -> bool {
    let text = message.joined_text().to_lowercase();
    words.iter().all(|word| text.contains(word))
}
