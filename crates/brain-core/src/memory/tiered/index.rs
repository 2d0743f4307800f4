//! Finding turns in both tiers.

use async_trait::async_trait;

use super::{TieredMemory, adopt::awaited, hot::WRITE};
use crate::{
    ids::{IdempotencyKey, Owner, SessionKey, TurnId},
    memory::{ListOptions, MemoryClass, MemoryError, TurnIndex, TurnRecord},
};

/// Most sessions that are looked at for an ephemeral one.
const MOST_LISTED: usize = 500;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl TurnIndex for TieredMemory {
    async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnRecord>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt(owner).await;
        let durable = || tiers.durable.turn(owner, turn);
        let found = self.find(owner, turn, durable, || tiers.hot.tier.turn(owner, turn)).await?;
        self.unless_awaited(owner, found).await
    }

    async fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt(owner).await;
        let found = tiers.durable.turn_by_key(owner, key).await?;
        found.iter().for_each(|it| tiers.known.saw(it, MemoryClass::Durable));
        match found {
            Some(turn) => Ok(Some(turn)),
            None => Ok(self.hot_turn_by_key(owner, key).await),
        }
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt(owner).await;
        let durable = || tiers.durable.request_cancel(owner, turn);
        let hot = || tiers.hot.tier.request_cancel(owner, turn);
        let found = self.find(owner, turn, durable, hot).await?;
        self.unless_awaited(owner, found).await
    }

    async fn unfinished(&self) -> Result<Vec<TurnRecord>, MemoryError> {
        let tiers = &self.tiers;
        let mut found = tiers.durable.unfinished().await?;
        found.iter().for_each(|it| tiers.known.saw(it, MemoryClass::Durable));
        // Where the hot tier is down, whoever finds such a turn later ends it.
        let live = tiers.hot_copy(WRITE, tiers.hot.tier.unfinished()).await.unwrap_or_default();
        live.iter().for_each(|it| tiers.known.saw(it, MemoryClass::Ephemeral));
        found.extend(live);
        Ok(found)
    }

    async fn lapsed(&self, limit: usize) -> Result<Vec<TurnRecord>, MemoryError> {
        let tiers = &self.tiers;
        let mut found = tiers.durable.lapsed(limit).await?;
        found.iter().for_each(|it| tiers.known.saw(it, MemoryClass::Durable));
        let left = limit.saturating_sub(found.len());
        let live = tiers.hot_copy(WRITE, tiers.hot.tier.lapsed(left)).await.unwrap_or_default();
        live.iter().for_each(|it| tiers.known.saw(it, MemoryClass::Ephemeral));
        found.extend(live);
        Ok(found)
    }

    async fn turns_of(&self, key: &SessionKey) -> Result<Vec<TurnRecord>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt_for(key).await?;
        match tiers.class(key).await? {
            Some(MemoryClass::Ephemeral) => tiers.hot_store(tiers.hot.tier.turns_of(key)).await,
            Some(MemoryClass::Durable) | None => tiers.durable.turns_of(key).await,
        }
    }
}

impl TieredMemory {
    /// The hot tier's turn of this key, as far as it says. Where it is down, a request that
    /// repeats one of an ephemeral session names that session, which is unavailable then.
    pub(super) async fn hot_turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Option<TurnRecord> {
        let tiers = &self.tiers;
        let found = tiers.hot_copy(WRITE, tiers.hot.tier.turn_by_key(owner, key)).await.flatten();
        found.iter().for_each(|it| tiers.known.saw(it, MemoryClass::Ephemeral));
        found
    }

    /// A turn that was found or not, if that is sure: a session that waits for its adoption may
    /// have it.
    async fn unless_awaited(
        &self,
        owner: &Owner,
        found: Option<TurnRecord>,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        if found.is_none() && self.tiers.awaits_any(owner).await? {
            return Err(awaited("find the turn"));
        }
        Ok(found)
    }

    /// A turn's record, from where it is.
    async fn find<Durable, Hot>(
        &self,
        owner: &Owner,
        turn: TurnId,
        durable: impl FnOnce() -> Durable + Send,
        hot: impl FnOnce() -> Hot + Send,
    ) -> Result<Option<TurnRecord>, MemoryError>
    where
        Durable: Future<Output = Result<Option<TurnRecord>, MemoryError>> + Send,
        Hot: Future<Output = Result<Option<TurnRecord>, MemoryError>> + Send,
    {
        let known = &self.tiers.known;
        let class = known.turn(turn).map(|it| it.class);
        if class != Some(MemoryClass::Ephemeral) {
            let found = durable().await?;
            found.iter().for_each(|it| known.saw(it, MemoryClass::Durable));
            if class.is_some() || found.is_some() {
                return Ok(found);
            }
        }
        match self.tiers.hot_moment(hot()).await {
            Ok(found) => {
                found.iter().for_each(|it| known.saw(it, MemoryClass::Ephemeral));
                Ok(found)
            }
            Err(_) if class.is_none() && !self.may_have_ephemeral(owner).await? => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the owner may have a session whose turns the hot tier would have. Of one who has many
    /// sessions only the newest are looked at, and one of the others may be it.
    async fn may_have_ephemeral(&self, owner: &Owner) -> Result<bool, MemoryError> {
        let newest = ListOptions { before: None, limit: MOST_LISTED };
        let listed = self.tiers.durable.list(owner, newest).await?;
        let is_cut = listed.len() == MOST_LISTED;
        Ok(is_cut || listed.iter().any(|it| it.class == MemoryClass::Ephemeral))
    }
}
