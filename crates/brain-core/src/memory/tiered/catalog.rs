//! Which sessions there are: what the durable tier lists, with what the hot one knows of the
//! ephemeral ones.

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{TieredMemory, copies::Change, ephemeral::expired, hot::WRITE};
use crate::{
    ids::{Owner, SessionKey},
    memory::{
        Catalog, ListOptions, MemoryClass, MemoryError, NewSession, Session, SessionPatch, Summary,
    },
};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Catalog for TieredMemory {
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError> {
        self.tiers.adopt(&key.owner).await;
        let (tiers, key) = (self.tiers.clone(), key.clone());
        let work = async move {
            let _maker = tiers.making.lock(&key).await;
            tiers.create(&key, new).await
        };
        self.tiers.to_the_end("make the session", work).await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt(&key.owner).await;
        let epoch = tiers.known.epoch();
        let Some(session) = tiers.durable.session(key).await? else { return Ok(None) };
        tiers.known.learn(epoch, key, session.class);
        match session.class {
            MemoryClass::Durable => Ok(Some(session)),
            MemoryClass::Ephemeral => tiers.live(key).await.map(Some),
        }
    }

    async fn list(&self, owner: &Owner, options: ListOptions) -> Result<Vec<Session>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt(owner).await;
        let page = tiers.durable.list(owner, options).await?;
        if page.iter().all(|it| it.class == MemoryClass::Durable) {
            return Ok(page);
        }
        let live = page.iter().map(|it| self.overlay(owner, it));
        let all = async { join_all(live).await.into_iter().collect() };
        Ok(tiers.hot_copy(WRITE, all).await.unwrap_or(page))
    }

    async fn patch(
        &self,
        key: &SessionKey,
        patch: SessionPatch,
    ) -> Result<Option<Session>, MemoryError> {
        let tiers = self.tiers.clone();
        tiers.adopt(&key.owner).await;
        if tiers.is_ephemeral(key).await? {
            let patched = tiers.hot_store(tiers.hot.tier.patch(key, patch)).await?;
            tiers.later(key, Change::Touch);
            return patched.ok_or_else(|| expired("change the session")).map(Some);
        }
        let key = key.clone();
        let work = async move {
            let patched = tiers.durable.patch(&key, patch).await;
            tiers.known.changed(&key);
            tiers.drop_copy(&key);
            patched
        };
        self.tiers.to_the_end("change the session", work).await
    }

    async fn keep_summary(&self, key: &SessionKey, summary: Summary) -> Result<(), MemoryError> {
        let tiers = self.tiers.clone();
        tiers.adopt(&key.owner).await;
        if tiers.is_ephemeral(key).await? {
            return tiers.of_live(key, tiers.hot.tier.keep_summary(key, summary)).await;
        }
        let key = key.clone();
        let work = async move {
            let kept = tiers.durable.keep_summary(&key, summary).await;
            tiers.known.changed(&key);
            tiers.drop_copy(&key);
            kept
        };
        self.tiers.to_the_end("keep a summary", work).await
    }

    async fn summaries(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt(&key.owner).await;
        if !tiers.is_ephemeral(key).await? {
            return tiers.durable.summaries(key).await;
        }
        let found = tiers.hot_store(tiers.hot.tier.summaries(key)).await?;
        if found.is_empty() {
            tiers.live(key).await?;
        }
        Ok(found)
    }
}

impl TieredMemory {
    /// The listed session, as the hot tier has it if it is ephemeral and alive;
    /// one that cannot be read is as listed.
    ///
    /// # Errors
    ///
    /// Those of the hot tier that concern more than this session.
    async fn overlay(&self, owner: &Owner, listed: &Session) -> Result<Session, MemoryError> {
        let live = match listed.class {
            MemoryClass::Durable => None,
            MemoryClass::Ephemeral => {
                let key = SessionKey::new(owner.clone(), listed.id.clone());
                match self.tiers.hot.tier.session(&key).await {
                    Err(error) if error.is_transient() => return Err(error),
                    found @ (Ok(_) | Err(_)) => found.ok().flatten(),
                }
            }
        };
        let created_at = listed.created_at;
        Ok(live.map_or_else(|| listed.clone(), |it| Session { created_at, ..it }))
    }
}
