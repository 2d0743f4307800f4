//! What Redis kept while it was in front of no database, taken over by a store in front of one.
//!
//! A session is moved by a rename, which is one step: of several databases one gets it, and whoever
//! dies halfway has moved it or not. What is not in its hash is written before, where it goes, and
//! dropped after, where it was: indexes hold too much at times, never too little.

use brain_core::{
    ids::{Owner, SessionKey},
    memory::{MemoryClass, MemoryError, PageKey, Session},
};
use futures_util::future;
use redis::Cmd;

use crate::{
    catalog::Side, index::claim_of, keys::name_of, record::Outline, reply::Reply, scripts,
    store::RedisStore,
};

const TAKE_OVER: &str = "take over the session";
/// Sessions looked at at a time.
const PAGE: usize = 100;

impl RedisStore {
    /// [`brain_core::memory::SessionCache::take_over`].
    pub(crate) async fn take_over_all(&self, owner: &Owner) -> Result<u64, MemoryError> {
        let Some(alone) = &self.alone else { return Ok(0) };
        let (mut moved, mut last) = (0, None);
        loop {
            let side = last.as_ref().map_or(Side::Newest, Side::Before);
            let page = alone.page(owner, side, PAGE).await?;
            let Some(oldest) = page.last() else { return Ok(moved) };
            last = Some(PageKey::from(oldest));
            for session in &page {
                let key = SessionKey::new(owner.clone(), session.id.clone());
                moved += u64::from(self.take_over_one(alone, &key, session).await?);
            }
        }
    }

    /// Returns whether it was moved.
    async fn take_over_one(
        &self,
        alone: &Self,
        key: &SessionKey,
        session: &Session,
    ) -> Result<bool, MemoryError> {
        if self.stored(TAKE_OVER, key).await?.is_some() {
            tracing::warn!(
                owner = %key.owner, session.id = %key.id,
                "a session that Redis kept alone stays there: its name is taken"
            );
            return Ok(false);
        }
        let (turns, noted) =
            future::try_join(alone.turns_in(TAKE_OVER, key), alone.noted(key)).await?;
        let now = self.now(TAKE_OVER).await?;
        self.note_session(TAKE_OVER, (key, session.created_at), now).await?;
        if session.class == MemoryClass::Ephemeral {
            for turn in &turns {
                self.note_moved(key, turn).await?;
            }
        }
        let keys = [alone.keys.session(key), self.keys.session(key)];
        let moved = self.pool.script(TAKE_OVER, &scripts::MOVE, &keys, Vec::new(), true).await?;
        let moved = Reply(TAKE_OVER).int(moved)? == 1;
        let left = if moved { alone } else { self };
        left.drop_turns(key, turns).await;
        left.prune_sessions(&key.owner, std::slice::from_ref(&key.id)).await;
        if let Some(noted) = noted.filter(|_| moved) {
            alone.drop_noted(key, noted).await;
        }
        Ok(moved)
    }

    /// Puts a turn, which comes with its session, into the indexes, and its client's key.
    async fn note_moved(&self, key: &SessionKey, turn: &Outline) -> Result<(), MemoryError> {
        self.note_turn(TAKE_OVER, key, turn.id, turn.opened_at).await?;
        if let Some(ended) = turn.ended_at {
            self.move_turn(TAKE_OVER, (key, turn.id), ended).await?;
        }
        if let Some(known) = &turn.idempotency {
            let claim = (&key.owner, &known.key);
            self.set_claim(TAKE_OVER, claim, ("", &claim_of(turn.id, key))).await?;
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
