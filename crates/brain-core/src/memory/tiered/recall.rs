//! Search and upkeep: the durable tier's, since only what lasts is found again.

use async_trait::async_trait;

use super::{TieredMemory, hot::WRITE};
use crate::{
    ids::{Owner, SessionKey},
    memory::{
        Embedded, Hit, ListOptions, MemoryError, Recall, Search, Session, Unembedded, Upkeep,
    },
    time::Timestamp,
};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Recall for TieredMemory {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        self.tiers.adopt(owner).await;
        self.tiers.durable.search(owner, search).await
    }

    async fn unembedded(&self, model: &str, limit: usize) -> Result<Vec<Unembedded>, MemoryError> {
        self.tiers.durable.unembedded(model, limit).await
    }

    async fn keep_embeddings(
        &self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError> {
        self.tiers.durable.keep_embeddings(model, embeddings).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upkeep for TieredMemory {
    async fn named(
        &self,
        owner: &Owner,
        options: ListOptions,
    ) -> Result<Vec<Session>, MemoryError> {
        self.tiers.adopt(owner).await;
        self.tiers.durable.list(owner, options).await
    }

    async fn idle_since(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, MemoryError> {
        self.tiers.durable.idle_since(before, limit).await
    }

    async fn prune_turns(&self, before: Timestamp) -> Result<u64, MemoryError> {
        let pruned = self.tiers.durable.prune_turns(before).await?;
        let hot = self.tiers.hot_copy(WRITE, self.tiers.hot.tier.prune_turns(before)).await;
        Ok(pruned + hot.unwrap_or_default())
    }

    async fn unsettled(&self, limit: usize) -> Result<Vec<SessionKey>, MemoryError> {
        // What the tiers owe each other is their own business.
        Ok(self.tiers.known.unsettled(limit, self.tiers.clock.now()))
    }

    async fn settle(&self, key: &SessionKey) -> Result<(), MemoryError> {
        self.tiers.known.settle(key);
        Ok(())
    }

    async fn pending(&self, key: &SessionKey) -> Result<u64, MemoryError> {
        let pending = self.tiers.durable.pending(key).await?;
        Ok(pending + u64::from(self.tiers.owes(key).await?))
    }
}
