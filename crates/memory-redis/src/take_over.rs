//! What Redis kept while it was in front of no database, taken over by a store in front of one.
//!
//! A session is moved by a rename, which is one step: of several databases one gets it, and whoever
//! dies halfway has moved it or not. One in which somebody works stays until he is done, or dead.
//! What is not in its hash is written before, where it goes, and dropped after, where it was:
//! indexes hold too much at times, never too little.

use brain_core::{
    ids::{IdempotencyKey, Owner, SessionKey},
    memory::{MemoryClass, MemoryError, PageKey, TakenOver},
    time::Timestamp,
};
use futures_util::future;
use redis::Cmd;

use crate::{
    catalog::Side,
    index::{claim_of, parse_claim},
    keys::name_of,
    record::Outline,
    reply::Reply,
    scripts,
    state::Stored,
    store::{Look, RedisStore},
};

const TAKE_OVER: &str = "take over the session";
/// Sessions looked at at a time.
const PAGE: usize = 100;

/// What became of a session.
enum Taken {
    /// It was moved.
    Over,
    /// It is gone, or its name is taken.
    Not,
    /// Somebody works in it.
    Busy,
}

impl RedisStore {
    /// [`brain_core::memory::SessionCache::take_over`].
    pub(crate) async fn take_over_all(&self, owner: &Owner) -> Result<TakenOver, MemoryError> {
        let (mut taken, mut last) = (TakenOver::default(), None);
        let Some(alone) = &self.alone else { return Ok(taken) };
        loop {
            let side = last.as_ref().map_or(Side::Newest, Side::Before);
            let page = alone.page(owner, side, PAGE).await?;
            let Some(oldest) = page.last() else { return Ok(taken) };
            last = Some(PageKey::from(oldest));
            for session in page {
                let key = SessionKey::new(owner.clone(), session.id);
                match self.take_over_one(alone, &key).await? {
                    Taken::Over => taken.sessions += 1,
                    Taken::Not => {}
                    Taken::Busy => taken.busy.push(key.id),
                }
            }
        }
    }

    async fn take_over_one(&self, alone: &Self, key: &SessionKey) -> Result<Taken, MemoryError> {
        if self.stored(TAKE_OVER, key).await?.is_some() {
            tell_of_taken_name(key);
            return Ok(Taken::Not);
        }
        let Some(stored) = alone.stored(TAKE_OVER, key).await? else { return Ok(Taken::Not) };
        if alone.is_held(key, &stored).await? {
            return Ok(Taken::Busy);
        }
        let (turns, noted) =
            future::try_join(alone.turns_in(TAKE_OVER, key), alone.noted(key)).await?;
        let now = self.now(TAKE_OVER).await?;
        self.note_session(TAKE_OVER, (key, stored.session.created_at), now).await?;
        // A durable session goes on to the database at once, and needs none but its open turn here.
        let stays = stored.session.class == MemoryClass::Ephemeral;
        for turn in turns.iter().filter(|it| stays || it.ended_at.is_none()) {
            self.note_moved(TAKE_OVER, key, turn).await?;
        }
        let taken = self.rename(alone, key, stored).await?;
        match taken {
            Taken::Over => {
                self.note_open(key, &turns).await?;
                alone.leave_out(key, turns).await;
                if let Some(noted) = noted {
                    alone.drop_noted(key, noted).await;
                }
            }
            Taken::Not | Taken::Busy => self.leave_out(key, turns).await,
        }
        Ok(taken)
    }

    /// Takes a session that is not here out of the indexes.
    async fn leave_out(&self, key: &SessionKey, turns: Vec<Outline>) {
        self.drop_turns(key, turns).await;
        self.prune_sessions(&key.owner, std::slice::from_ref(&key.id)).await;
    }

    /// Notes open turns once more: who looked before their session was here has dropped them.
    async fn note_open(&self, key: &SessionKey, turns: &[Outline]) -> Result<(), MemoryError> {
        for turn in turns.iter().filter(|it| it.ended_at.is_none()) {
            self.note_turn(TAKE_OVER, key, turn.id, turn.opened_at).await?;
        }
        Ok(())
    }

    /// Whether the session that was made then is here.
    async fn has(&self, key: &SessionKey, created: Timestamp) -> Result<bool, MemoryError> {
        let found = self.stored(TAKE_OVER, key).await?;
        Ok(found.is_some_and(|it| it.session.created_at == created))
    }

    /// Moves the session, if its state is as it was seen.
    async fn rename(
        &self,
        alone: &Self,
        key: &SessionKey,
        stored: Stored,
    ) -> Result<Taken, MemoryError> {
        let created = stored.session.created_at;
        let keys = [alone.keys.session(key), self.keys.session(key)];
        let moved =
            self.pool.script(TAKE_OVER, &scripts::MOVE, &keys, vec![stored.line], true).await?;
        Ok(match Reply(TAKE_OVER).int(moved)? {
            1 => Taken::Over,
            // Another attempt has moved it meanwhile, and what was noted is of use.
            0 if self.has(key, created).await? => Taken::Over,
            0 => Taken::Not,
            _ => Taken::Busy,
        })
    }

    /// Whether somebody holds a turn of the session.
    async fn is_held(&self, key: &SessionKey, stored: &Stored) -> Result<bool, MemoryError> {
        let Some(held) = stored.state.held else { return Ok(false) };
        let found = self.look_at_turn(TAKE_OVER, (key, held.turn), Look::at([])).await?;
        Ok(found.is_some_and(|it| it.turn.lease_left(it.seen.now).is_some()))
    }

    /// Puts a turn, which comes with its session, into the indexes, and its client's key.
    pub(crate) async fn note_moved(
        &self,
        operation: &'static str,
        key: &SessionKey,
        turn: &Outline,
    ) -> Result<(), MemoryError> {
        self.note_turn(operation, key, turn.id, turn.opened_at).await?;
        if let Some(ended) = turn.ended_at {
            self.move_turn(operation, (key, turn.id), ended).await?;
        }
        match &turn.idempotency {
            Some(known) => self.claim_moved(operation, (key, &known.key), turn).await,
            None => Ok(()),
        }
    }

    /// Claims a client's key for a turn, unless a later one has it.
    async fn claim_moved(
        &self,
        operation: &'static str,
        (key, known): (&SessionKey, &IdempotencyKey),
        turn: &Outline,
    ) -> Result<(), MemoryError> {
        let (claim, own) = ((&key.owner, known), claim_of(turn.id, key));
        let says = self.set_claim(operation, claim, ("", &own)).await?;
        let other = parse_claim(&says).filter(|_| says != own);
        let Some((other, session)) = other else { return Ok(()) };
        let found = self.look_at_turn(operation, (&session, other), Look::at([])).await?;
        if found.is_some_and(|it| it.turn.opened_at <= turn.opened_at) {
            self.set_claim(operation, claim, (&says, &own)).await?;
        }
        Ok(())
    }

    /// What the index of all sessions says of one.
    async fn noted(&self, key: &SessionKey) -> Result<Option<String>, MemoryError> {
        let mut score = Cmd::new();
        score.arg("ZSCORE").arg(self.keys.sessions()).arg(name_of(key));
        Reply(TAKE_OVER).optional_text(self.pool.command(TAKE_OVER, score, false).await?)
    }

    /// Takes a session out of the index of all, if that says the same of it.
    pub(crate) async fn drop_noted(&self, key: &SessionKey, noted: String) {
        let args = [name_of(key), noted, String::new()].map(String::into_bytes).into();
        let keys = [self.keys.sessions()];
        let dropped = self.pool.script(TAKE_OVER, &scripts::RESCORE, &keys, args, true).await;
        if let Err(error) = dropped {
            tracing::debug!(%error, "left a session in an index that is gone");
        }
    }
}

fn tell_of_taken_name(key: &SessionKey) {
    tracing::warn!(
        owner = %key.owner, session.id = %key.id,
        "a session that Redis kept alone stays there: its name is taken"
    );
}
