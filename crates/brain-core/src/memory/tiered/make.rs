//! Making and forgetting sessions: what concerns both tiers at once, and one caller at a time.

use std::sync::Arc;

use super::{
    Tiers,
    hot::{WRITE, unavailable},
};
use crate::{
    ids::SessionKey,
    memory::{
        ExportedSession, Forget, Forgotten, MemoryClass, MemoryError, MemoryErrorKind, NewSession,
        Restored, Session, TurnRecord,
    },
};

impl Tiers {
    /// Makes an empty session, in place of one that has expired if there is such a one. The caller
    /// holds the lock of its making.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Conflict`] when it exists, [`MemoryErrorKind::Unavailable`] when it is
    /// ephemeral, or there is an ephemeral one, and the hot tier is down.
    pub(super) async fn create(
        self: &Arc<Self>,
        key: &SessionKey,
        new: NewSession,
    ) -> Result<Session, MemoryError> {
        match self.create_first(key, new.clone()).await {
            Err(error)
                if error.kind() == MemoryErrorKind::Conflict && self.has_expired(key).await? =>
            {
                self.forget(key).await?;
                self.create_first(key, new).await
            }
            made @ (Ok(_) | Err(_)) => made,
        }
    }

    /// Makes an empty session where there is none.
    async fn create_first(
        self: &Arc<Self>,
        key: &SessionKey,
        new: NewSession,
    ) -> Result<Session, MemoryError> {
        if new.class == MemoryClass::Durable {
            let made = self.durable.create(key, new).await?;
            self.known.made(key, MemoryClass::Durable);
            return Ok(made);
        }
        if self.hot.is_open() {
            return Err(unavailable("make an ephemeral session"));
        }
        let stub = NewSession { class: new.class, ..NewSession::default() };
        let stub = self.durable.create(key, stub).await?;
        self.known.made(key, new.class);
        let NewSession { title, metadata, system, model, recall, class: _ } = new;
        let session = Session { title, metadata, system, model, recall, ..stub };
        let session = ExportedSession::of(&session, [], Vec::new());
        match self.create_live(key, &session).await {
            Ok(made) => Ok(made),
            Err(error) => Err(self.undo_stub(key, error).await),
        }
    }

    async fn create_live(
        self: &Arc<Self>,
        key: &SessionKey,
        session: &ExportedSession,
    ) -> Result<Session, MemoryError> {
        let tier = &self.hot.tier;
        if self.hot_store(tier.session(key)).await?.is_some() {
            // Left over: the durable tier has forgotten it, or never knew it.
            self.hot_store(self.drop_primary(key)).await?;
        }
        self.hot_store(tier.restore(key, session)).await?;
        self.live(key).await
    }

    /// Takes back the durable part of an ephemeral session that could not be made.
    async fn undo_stub(&self, key: &SessionKey, error: MemoryError) -> MemoryError {
        let undone = self.durable.forget(key, Forget::Always).await;
        self.known.forgotten(key);
        if let Err(error) = undone {
            tracing::error!(%error, "an ephemeral session that was not made looks expired");
        }
        error
    }

    /// Puts a session of elsewhere with its turns here. The caller holds the lock of its making.
    ///
    /// # Errors
    ///
    /// Those of [`Portable::move_in`](crate::memory::Portable::move_in).
    pub(super) async fn move_in(
        self: &Arc<Self>,
        key: &SessionKey,
        session: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        if self.durable.session(key).await?.map_or(session.class, |it| it.class) != session.class {
            session.check_move(turns)?;
            return Err(MemoryError::new("restore the session", MemoryErrorKind::Conflict));
        }
        match session.class {
            MemoryClass::Durable => {
                let restored = self.durable.move_in(key, session, turns).await?;
                self.known.made(key, MemoryClass::Durable);
                self.known.changed(key);
                if restored != Restored::Unchanged {
                    self.drop_copy(key);
                }
                Ok(restored)
            }
            MemoryClass::Ephemeral => self.move_in_live(key, session, turns).await,
        }
    }

    async fn move_in_live(
        self: &Arc<Self>,
        key: &SessionKey,
        session: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        session.check_move(turns)?;
        let stub = stub_of(session);
        let is_new = match self.durable.restore(key, &stub).await {
            Ok(restored) => restored == Restored::Created,
            Err(error) if error.kind() == MemoryErrorKind::Conflict => {
                let made = self.durable.session(key).await?.map(|it| it.created_at);
                if made != Some(session.created_at) {
                    return Err(error);
                }
                false
            }
            Err(error) => return Err(error),
        };
        self.known.made(key, MemoryClass::Ephemeral);
        match self.hot_store(self.hot.tier.move_in(key, session, turns)).await {
            Err(error) if is_new => Err(self.undo_stub(key, error).await),
            done @ (Ok(_) | Err(_)) => done,
        }
    }

    /// Forgets a session in both tiers. The caller holds the lock of its making.
    ///
    /// # Errors
    ///
    /// Those of the durable tier.
    pub(super) async fn forget(
        self: &Arc<Self>,
        key: &SessionKey,
    ) -> Result<Forgotten, MemoryError> {
        let live = match self.class(key).await? {
            Some(MemoryClass::Ephemeral) => self.count_live(key).await,
            Some(MemoryClass::Durable) => 0,
            None => self.note_unknown(key).await.map(|()| 0)?,
        };
        let forgotten = self.durable.forget(key, Forget::Always).await;
        self.forgot(key, live, forgotten).await
    }

    /// Forgets a session in both tiers unless it is used: whoever has its content decides, and where
    /// that is gone the rest goes too. The caller holds the lock of its making.
    ///
    /// # Errors
    ///
    /// Those of the tiers; [`MemoryErrorKind::Conflict`] when it is not as `forget` says.
    pub(super) async fn forget_idle(
        self: &Arc<Self>,
        key: &SessionKey,
        forget: Forget,
    ) -> Result<Forgotten, MemoryError> {
        let (live, forget) = if self.is_ephemeral(key).await? {
            let gone = self.hot_store(self.hot.tier.forget(key, forget)).await?;
            (gone.erased, Forget::Always)
        } else {
            (0, forget)
        };
        let forgotten = self.durable.forget(key, forget).await;
        if forgotten.as_ref().is_err_and(|it| it.kind() == MemoryErrorKind::Conflict) {
            return forgotten;
        }
        self.forgot(key, live, forgotten).await
    }

    /// Forgets in the hot tier what the durable one has forgotten; so many entries of it were `live`.
    async fn forgot(
        self: &Arc<Self>,
        key: &SessionKey,
        live: u64,
        forgotten: Result<Forgotten, MemoryError>,
    ) -> Result<Forgotten, MemoryError> {
        let Forgotten { erased, pending } = match forgotten {
            Ok(forgotten) => forgotten,
            Err(error) => {
                self.may_be_forgotten(key);
                return Err(error);
            }
        };
        self.known.forgotten(key);
        self.adoption.forgot(key);
        self.known.paid(key); // the durable tier has a note of it now
        self.known.unsettle(key, self.clock.now());
        self.copies.drop_all(key);
        let is_settled = self.settle(key).await.unwrap_or(false);
        if !is_settled {
            self.heal_later();
        }
        let erased = erased + if is_settled { live } else { 0 };
        Ok(Forgotten { erased, pending: pending + u64::from(!is_settled) })
    }

    /// Sees to it that forgetting a session that the durable tier does not know reaches what the
    /// hot tier may hold of it: at once, or by a durable session that leaves a note when forgotten.
    async fn note_unknown(self: &Arc<Self>, key: &SessionKey) -> Result<(), MemoryError> {
        if self.known.is_unsettled(key) || self.settle(key).await? {
            return Ok(());
        }
        match self.durable.create(key, NewSession::default()).await {
            Err(error) if error.kind() != MemoryErrorKind::Conflict => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// After a forget that failed: it may have been done all the same.
    fn may_be_forgotten(self: &Arc<Self>, key: &SessionKey) {
        self.known.forgotten(key);
        self.drop_copy(key);
        self.heal_later();
    }

    /// How many entries the hot tier holds of an ephemeral session, as far as it says.
    async fn count_live(self: &Arc<Self>, key: &SessionKey) -> u64 {
        let found = self.hot_copy(WRITE, self.hot.tier.session(key)).await;
        found.flatten().map_or(0, |it| it.entries)
    }
}

/// What the durable tier keeps of an ephemeral session.
pub(super) fn stub_of(session: &ExportedSession) -> ExportedSession {
    ExportedSession {
        title: None,
        has_default_title: false,
        metadata: None,
        system: None,
        model: None,
        recall: false,
        head: None,
        summaries: Vec::new(),
        entries: Vec::new(),
        ..session.clone()
    }
}
