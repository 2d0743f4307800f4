//! The entries of sessions, by class.

use std::time::Duration;

use async_trait::async_trait;

use super::{TieredMemory, copies, ephemeral::expired};
use crate::{
    ids::{Seq, SessionKey, Token},
    memory::{
        Append, Appended, Branch, Entry, Expect, Forget, Forgotten, MemoryClass, MemoryError,
        MemoryErrorKind, ReadOptions, Session, SessionLog,
    },
};

/// The hot tier is away, and owes more than can be noted.
const TOO_MUCH: MemoryErrorKind =
    MemoryErrorKind::Overloaded { retry_after: Duration::from_secs(1) };

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SessionLog for TieredMemory {
    async fn append(&self, key: &SessionKey, append: Append) -> Result<Appended, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt_for(key).await?;
        let _maker = match append.expect {
            Expect::Absent => tiers.making.lock(key).await,
            Expect::At(_) | Expect::Attach => None,
        };
        match tiers.class(key).await? {
            Some(MemoryClass::Ephemeral) => self.append_live(key, append).await,
            Some(MemoryClass::Durable) | None => self.append_durable(key, append).await,
        }
    }

    async fn read(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Option<Branch>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt_for(key).await?;
        if let Some(copy) = tiers.copy(key, options).await {
            return Ok(Some(copy));
        }
        if tiers.known.class(key) == Some(MemoryClass::Ephemeral) {
            return self.read_live(key, options).await.map(Some);
        }
        let (epoch, change) = (tiers.known.epoch(), tiers.known.change(key));
        let found = tiers.durable.read(key, options).await;
        // The empty session of an ephemeral one has no entry to read from.
        let is_unknown = |it: &MemoryError| it.kind() == MemoryErrorKind::UnknownParent;
        if found.as_ref().is_err_and(is_unknown) && tiers.is_ephemeral(key).await? {
            return self.read_live(key, options).await.map(Some);
        }
        let Some(branch) = found? else { return Ok(None) };
        let learnt = tiers.known.learn(epoch, key, branch.session.class);
        if branch.session.class == MemoryClass::Ephemeral {
            return self.read_live(key, options).await.map(Some);
        }
        tiers.keep(key, options, change.or(learnt), &branch);
        Ok(Some(branch))
    }

    async fn scan(
        &self,
        key: &SessionKey,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt_for(key).await?;
        if !tiers.is_ephemeral(key).await? {
            return tiers.durable.scan(key, after, limit).await;
        }
        let found = tiers.hot_store(tiers.hot.tier.scan(key, after, limit)).await?;
        if found.is_empty() {
            tiers.live(key).await?;
        }
        Ok(found)
    }

    async fn move_head(
        &self,
        key: &SessionKey,
        expect: Token,
        head: Option<Seq>,
    ) -> Result<Session, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt_for(key).await?;
        if tiers.is_ephemeral(key).await? {
            let call = tiers.hot.tier.move_head(key, expect, head);
            return tiers.change_live(key, call).await;
        }
        let moved = tiers.durable.move_head(key, expect, head).await;
        tiers.drop_copy(key);
        moved
    }

    async fn forget(&self, key: &SessionKey, forget: Forget) -> Result<Forgotten, MemoryError> {
        let (tiers, key) = (self.tiers.clone(), key.clone());
        tiers.adopt(&key.owner).await;
        let work = async move {
            let _maker = tiers.making.lock(&key).await;
            match forget {
                Forget::Always => tiers.forget(&key).await,
                Forget::IfIdleSince(_) => tiers.forget_idle(&key, forget).await,
            }
        };
        self.tiers.to_the_end("forget the session", work).await
    }

    async fn forget_entry(&self, key: &SessionKey, seq: Seq) -> Result<Forgotten, MemoryError> {
        self.tiers.adopt_for(key).await?;
        if self.tiers.is_ephemeral(key).await? {
            let call = self.tiers.hot.tier.forget_entry(key, seq);
            return self.tiers.change_live(key, call).await;
        }
        let (store, key) = (self.clone(), key.clone());
        let work = async move { store.forget_entry_durable(&key, seq).await };
        self.tiers.to_the_end("forget the entry", work).await
    }
}

impl TieredMemory {
    async fn append_durable(
        &self,
        key: &SessionKey,
        append: Append,
    ) -> Result<Appended, MemoryError> {
        let tiers = &self.tiers;
        let turn = append.fence.map(|it| it.turn);
        let previous = match append.expect {
            Expect::At(token) => Some(token),
            Expect::Attach => turn.and_then(|it| tiers.known.turn(it)).and_then(|it| it.token),
            Expect::Absent => None,
        };
        let (parent, drafts) = (append.parent, append.drafts.clone());
        let done = tiers.durable.append(key, append).await;
        match &done {
            Ok(appended) => {
                let last = appended.last.filter(|_| !drafts.is_empty());
                let entries = copies::entries(parent, &drafts, last);
                turn.into_iter().for_each(|it| tiers.known.turn_wrote(it, Some(appended.token)));
                tiers.advance(key, previous, Some(appended.token), entries);
            }
            Err(error) => tiers.check(key, error.kind()),
        }
        done
    }

    async fn append_live(
        &self,
        key: &SessionKey,
        mut append: Append,
    ) -> Result<Appended, MemoryError> {
        let tiers = &self.tiers;
        if append.expect == Expect::Absent {
            // Else the hot tier would make anew what has expired.
            let session = tiers.live(key).await?;
            if session.entries == 0 {
                append.expect = Expect::At(session.token);
            }
        }
        tiers.change_live(key, tiers.hot.tier.append(key, append)).await
    }

    async fn read_live(
        &self,
        key: &SessionKey,
        options: ReadOptions,
    ) -> Result<Branch, MemoryError> {
        let tiers = &self.tiers;
        let found = tiers.hot_store(tiers.hot.tier.read(key, options)).await?;
        found.ok_or_else(|| expired("read the session"))
    }

    async fn forget_entry_durable(
        &self,
        key: &SessionKey,
        seq: Seq,
    ) -> Result<Forgotten, MemoryError> {
        let tiers = &self.tiers;
        let _maker = tiers.making.lock(key).await;
        let was_owed = tiers.known.owes(key);
        // Noted before: what is not noted might never leave the copy.
        if !tiers.known.owe(key) {
            return Err(MemoryError::new("forget the entry", TOO_MUCH));
        }
        tiers.known.distrust(key);
        tiers.evict_now(key).await;
        let done = tiers.durable.forget_entry(key, seq).await;
        tiers.known.changed(key);
        let may_be_there = match &done {
            Ok(forgotten) => 0 < forgotten.erased,
            Err(error) => error.kind() == MemoryErrorKind::OutcomeUnknown,
        };
        if tiers.evict_now(key).await || !(was_owed || may_be_there) {
            tiers.known.paid(key);
        } else {
            tiers.heal_later();
        }
        let Forgotten { erased, pending } = done?;
        Ok(Forgotten { erased, pending: pending + u64::from(tiers.known.owes(key)) })
    }
}
