//! Making good what the hot tier owes: finding out that it is back, and burying what was forgotten
//! while it was away.
//!
//! A task does so for as long as there is something to make good, and ends then.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Tiers, hot::WRITE};
use crate::{
    ids::SessionKey,
    memory::{Forget, MemoryClass, MemoryError},
};

/// How often the tier is looked at while it is left alone.
const PROBE: Duration = Duration::from_millis(500);
/// Forgotten sessions settled at a time.
const PAGE: usize = 64;

impl Tiers {
    /// Settles what is not settled, from now on.
    pub(super) fn settle_soon(self: &Arc<Self>) {
        self.heal(Duration::ZERO);
    }

    /// Looks after the tier, after a while.
    pub(super) fn heal_later(self: &Arc<Self>) {
        self.heal(PROBE);
    }

    fn heal(self: &Arc<Self>, after: Duration) {
        self.heals_again.store(true, Ordering::SeqCst);
        if self.healing.swap(true, Ordering::SeqCst) {
            return;
        }
        let (tiers, clock) = (Arc::downgrade(self), Arc::clone(&self.clock));
        self.spawner.spawn(Box::pin(async move {
            let mut after = after;
            loop {
                if !after.is_zero() {
                    clock.sleep(after).await;
                }
                after = PROBE;
                let Some(tiers) = tiers.upgrade() else { return };
                tiers.heals_again.store(false, Ordering::SeqCst);
                if tiers.heals().await {
                    return tiers.healed();
                }
            }
        }));
    }

    fn healed(self: &Arc<Self>) {
        self.healing.store(false, Ordering::SeqCst);
        if self.heals_again.load(Ordering::SeqCst) {
            self.heal_later(); // asked for after the last look
        }
    }

    /// Returns whether nothing is left to make good.
    async fn heals(self: &Arc<Self>) -> bool {
        if self.hot.is_open() && !self.hot.probe().await {
            return false;
        }
        match self.settle_all().await {
            Ok(done) => done && self.pay().await,
            Err(error) => {
                tracing::debug!(%error, "could not look for what is not settled");
                false
            }
        }
    }

    /// Settles what was forgotten; returns whether that was all.
    ///
    /// # Errors
    ///
    /// Those of the durable tier.
    pub(super) async fn settle_all(self: &Arc<Self>) -> Result<bool, MemoryError> {
        loop {
            let keys = self.durable.unsettled(PAGE).await?;
            if keys.is_empty() {
                return Ok(true);
            }
            for key in keys {
                let _maker = self.making.lock(&key).await;
                if !self.settle(&key).await? {
                    return Ok(false);
                }
            }
        }
    }

    /// Whether the hot tier may hold copies of what was forgotten of the session. Where more is not
    /// settled than can be looked through, it may.
    ///
    /// # Errors
    ///
    /// Those of the durable tier.
    pub(super) async fn owes(&self, key: &SessionKey) -> Result<bool, MemoryError> {
        let unsettled = self.durable.unsettled(PAGE).await?;
        Ok(self.known.owes(key) || unsettled.len() == PAGE || unsettled.contains(key))
    }

    /// Buries what the hot tier may hold of a forgotten session; returns whether it could. The
    /// caller holds the lock of its making.
    ///
    /// # Errors
    ///
    /// Those of the durable tier.
    pub(super) async fn settle(self: &Arc<Self>, key: &SessionKey) -> Result<bool, MemoryError> {
        let found = self.durable.session(key).await?;
        let lives_there = found.is_some_and(|it| it.class == MemoryClass::Ephemeral);
        let alone = self.hot.writing.lock().await;
        let tier = &self.hot.tier;
        let buried = self.hot_copy(WRITE, tier.bury(key)).await;
        if buried.is_none_or(|it| 0 < it.pending) {
            return Ok(false);
        }
        if !lives_there && self.hot_copy(WRITE, self.drop_primary(key)).await.is_none() {
            return Ok(false);
        }
        drop(alone);
        self.durable.settle(key).await?;
        Ok(true)
    }

    /// Erases a session that the hot tier holds as a store.
    pub(super) async fn drop_primary(&self, key: &SessionKey) -> Result<u64, MemoryError> {
        let erased = self.hot.tier.forget(key, Forget::Always).await?.erased;
        self.hot.tier.settle(key).await?;
        Ok(erased)
    }

    /// Drops the copies that could not be dropped when they should have been.
    async fn pay(self: &Arc<Self>) -> bool {
        while let Some(key) = self.known.owed() {
            // What is being forgotten now owes until that is done.
            let _maker = self.making.lock(&key).await;
            if !self.evict_now(&key).await {
                return false;
            }
            self.known.paid(&key);
        }
        true
    }
}
