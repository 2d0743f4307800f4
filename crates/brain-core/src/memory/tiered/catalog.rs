//! Which sessions there are: what the durable tier lists, with what the hot one knows of the
//! ephemeral ones.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{TieredMemory, copies::Change, ephemeral::expired};
use crate::{
    ids::{Owner, SessionKey},
    memory::{
        Catalog, Edition, ListOptions, MemoryClass, MemoryError, NewSession, PageKey, Session,
        SessionPatch, Summary,
    },
};

/// Fewest sessions listed at a time while expired ones are passed over.
const PAGE: usize = 500;
/// How many ephemeral sessions the hot tier is asked for at once.
const AT_ONCE: usize = 64;
/// How long the hot tier may take to tell which sessions of a page are alive.
const LISTING: Duration = Duration::from_secs(1);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Catalog for TieredMemory {
    async fn create(&self, key: &SessionKey, new: NewSession) -> Result<Session, MemoryError> {
        self.tiers.adopt_for(key).await?;
        let (tiers, key) = (self.tiers.clone(), key.clone());
        let work = async move {
            let _maker = tiers.making.lock(&key).await;
            tiers.create(&key, new).await
        };
        self.tiers.to_the_end("make the session", work).await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt_for(key).await?;
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
        let ListOptions { mut before, limit } = options;
        let (mut listed, mut ask) = (Vec::new(), limit);
        while listed.len() < limit {
            let page = tiers.durable.list(owner, ListOptions { before, limit: ask }).await?;
            let is_last = page.len() < ask;
            before = page.last().map(PageKey::from);
            listed.extend(self.alive(owner, page).await);
            if is_last {
                break;
            }
            ask = PAGE.max(limit.saturating_sub(listed.len()));
        }
        listed.truncate(limit);
        Ok(listed)
    }

    async fn patch(
        &self,
        key: &SessionKey,
        patch: SessionPatch,
    ) -> Result<Option<Session>, MemoryError> {
        let tiers = self.tiers.clone();
        tiers.adopt_for(key).await?;
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

    async fn keep_summary(
        &self,
        key: &SessionKey,
        edition: Edition,
        summary: Summary,
    ) -> Result<(), MemoryError> {
        let tiers = self.tiers.clone();
        tiers.adopt_for(key).await?;
        if tiers.is_ephemeral(key).await? {
            let call = tiers.hot.tier.keep_summary(key, edition, summary);
            return tiers.of_live(key, call).await;
        }
        let key = key.clone();
        let work = async move {
            let kept = tiers.durable.keep_summary(&key, edition, summary).await;
            tiers.known.changed(&key);
            tiers.drop_copy(&key);
            kept
        };
        self.tiers.to_the_end("keep a summary", work).await
    }

    async fn summaries(&self, key: &SessionKey) -> Result<Vec<Summary>, MemoryError> {
        let tiers = &self.tiers;
        tiers.adopt_for(key).await?;
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
    /// Those sessions of a page that are alive, the ephemeral ones as the hot tier has them. While it
    /// cannot be asked, these are left out: which of them have expired cannot be told, and none can
    /// be read.
    async fn alive(&self, owner: &Owner, page: Vec<Session>) -> Vec<Session> {
        if page.iter().all(|it| it.class == MemoryClass::Durable) {
            return page;
        }
        let looks: Vec<_> = page.iter().map(|it| self.look(owner, it)).collect();
        let looked = stream::iter(looks).buffered(AT_ONCE).try_collect::<Vec<_>>();
        match self.tiers.hot_copy(LISTING, looked).await {
            Some(alive) => alive.into_iter().flatten().collect(),
            None => page.into_iter().filter(|it| it.class == MemoryClass::Durable).collect(),
        }
    }

    /// The listed session, as the hot tier has it if it is ephemeral; `None` if it has expired. One
    /// that cannot be read is as listed.
    ///
    /// # Errors
    ///
    /// Those of the hot tier that concern more than this session.
    async fn look(&self, owner: &Owner, listed: &Session) -> Result<Option<Session>, MemoryError> {
        match listed.class {
            MemoryClass::Durable => Ok(Some(listed.clone())),
            MemoryClass::Ephemeral => {
                let key = SessionKey::new(owner.clone(), listed.id.clone());
                match self.tiers.hot.tier.session(&key).await {
                    Ok(found) => Ok(found.map(|it| listed_as(listed, it))),
                    Err(error) if error.is_transient() => Err(error),
                    Err(_) => Ok(Some(listed.clone())),
                }
            }
        }
    }
}

/// A live session, at the place where it is listed.
fn listed_as(listed: &Session, live: Session) -> Session {
    Session { created_at: listed.created_at, ..live }
}
