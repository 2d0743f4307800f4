//! An append that is part of something greater: decided here by the rules of `brain-core`, committed
//! with the rest.

use brain_core::{
    ids::{SessionKey, Token},
    memory::{Append, Appended, Expect, Fence, MemoryError, MemoryErrorKind, NewSession, Session},
    time::Timestamp,
};

use crate::{
    keys,
    state::{Description, State, Stored, appended_line},
    store::Seen,
    value,
};

/// An append that will be right as long as the session is as it was seen.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The session afterwards.
    pub(crate) stored: Stored,
    /// What the append does.
    pub(crate) appended: Appended,
    /// The fields of the entries and of the append's id; not yet those of the session.
    pub(crate) sets: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A refusal for the sake of the tree.
pub(crate) fn unfit(kind: MemoryErrorKind) -> MemoryError {
    MemoryError::new("find a place for the entries", kind)
}

/// What a turn's append fails with where the session is gone.
pub(crate) fn superseded_or(kind: MemoryErrorKind, fence: Option<Fence>) -> MemoryErrorKind {
    if kind == MemoryErrorKind::Conflict && fence.is_some() {
        return MemoryErrorKind::Superseded;
    }
    kind
}

impl Stored {
    /// A session that is to be made.
    pub(crate) fn made(operation: &'static str, session: Session) -> Result<Self, MemoryError> {
        let state = State::of(&session);
        let description = Description::of(operation, state.born, &session)?;
        Ok(Self { state, session, line: Vec::new(), description })
    }

    /// Another state, from now on.
    pub(crate) fn changed(&mut self, token: Token, now: Timestamp) {
        self.state.token = token;
        self.session.token = token;
        self.session.head = self.state.head;
        self.session.entries = self.state.entries;
        self.session.updated_at = now;
    }

    /// The fields of the state and of its time; counts the change.
    pub(crate) fn sets(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let updated = self.session.updated_at.as_millis().to_string();
        vec![self.state_field(), (keys::UPDATED.to_vec(), updated.into_bytes())]
    }

    /// The field of the state; counts the change.
    pub(crate) fn state_field(&self) -> (Vec<u8>, Vec<u8>) {
        let state = State { rev: self.state.rev + 1, ..self.state.clone() };
        (keys::STATE.to_vec(), state.to_string().into_bytes())
    }

    /// The field of the description.
    pub(crate) fn description_field(&self) -> (Vec<u8>, Vec<u8>) {
        (keys::DESCRIPTION.to_vec(), self.description.clone())
    }
}

impl Plan {
    /// What an append does that finds the session as it was seen; `None` if there is no session and
    /// none is to be made.
    ///
    /// # Errors
    ///
    /// Those of [`brain_core::memory::SessionLog::append`], but for fences.
    pub(crate) fn of(
        operation: &'static str,
        key: &SessionKey,
        seen: &Seen,
        append: &Append,
        create: Option<&NewSession>,
    ) -> Result<Option<Self>, MemoryError> {
        let creates = seen.stored.is_none();
        let stored = match (&seen.stored, create) {
            (Some(stored), _) => stored.clone(),
            (None, Some(new)) if append.expect == Expect::Absent => {
                Stored::made(operation, Session::new(key.id.clone(), new.clone(), seen.now))?
            }
            (None, Some(_) | None) => return Ok(None),
        };
        if !stored.session.is_as(append.expect) {
            return Err(MemoryError::new(operation, MemoryErrorKind::Conflict));
        }
        if !seen.parent_exists {
            return Err(unfit(MemoryErrorKind::UnknownParent));
        }
        let moves = stored.session.head_follows(append.expect, append.parent);
        if moves && seen.inside_round {
            return Err(unfit(MemoryErrorKind::InsideToolRound));
        }
        Ok(Some(Self::fitting(stored, append, (moves, creates), seen.now)))
    }

    fn fitting(
        mut stored: Stored,
        append: &Append,
        (moves, creates): (bool, bool),
        now: Timestamp,
    ) -> Self {
        let mut sets = Vec::with_capacity(append.drafts.len() + 1);
        let mut parent = append.parent;
        for draft in &append.drafts {
            stored.state.last.0 += 1;
            stored.state.entries += 1;
            sets.push((keys::entry(stored.state.last), value::value(parent, draft)));
            parent = Some(stored.state.last);
        }
        if moves {
            stored.state.head = parent;
        }
        stored.changed(Token::random(), now);
        let token = stored.state.token;
        let appended = Appended { last: parent, head: stored.state.head, token };
        sets.push((keys::append(&append.append_id), appended_line(appended)));
        if creates {
            sets.push(stored.description_field());
        }
        Self { stored, appended, sets }
    }
}
