//! What both tiers can do together, and how they are.

use async_trait::async_trait;

use super::TieredMemory;
use crate::memory::{Health, MemoryCapabilities, MemoryError, MemoryStore};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MemoryStore for TieredMemory {
    fn capabilities(&self) -> MemoryCapabilities {
        let durable = self.tiers.durable.capabilities();
        let hot = self.tiers.hot.tier.capabilities();
        let (shared, ephemeral) = (durable.shared && hot.shared, hot.ephemeral);
        MemoryCapabilities { shared, ephemeral, ..durable }
    }

    async fn health(&self) -> Result<Health, MemoryError> {
        let mut health = self.tiers.durable.health().await?;
        health.tiers.extend(self.tiers.hot.health().await);
        Ok(health)
    }
}
