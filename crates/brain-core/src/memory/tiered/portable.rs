//! Export and import: what is alive of ephemeral sessions is part of what the owner has.

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::{
    TieredMemory,
    adopt::awaited,
    ephemeral::{Whole, whole},
};
use crate::{
    ids::{Owner, SessionKey},
    memory::{
        ExportPart, ExportedEntry, ExportedHead, ExportedSession, MemoryClass, MemoryError,
        Portable, Restored, TurnRecord,
    },
};

type Parts = BoxStream<'static, Result<ExportPart, MemoryError>>;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Portable for TieredMemory {
    async fn export(&self, owner: &Owner) -> Result<Parts, MemoryError> {
        self.tiers.adopt(owner).await;
        if self.tiers.awaits_any(owner).await? {
            return Err(awaited("export the sessions"));
        }
        let parts = self.tiers.durable.export(owner).await?;
        let (store, owner) = (self.clone(), owner.clone());
        let parts = stream::try_unfold((store, owner, parts), async |(store, owner, mut parts)| {
            let Some(part) = parts.try_next().await? else { return Ok(None) };
            let now = store.now(&owner, part).await?;
            Ok(Some((stream::iter(now.into_iter().map(Ok)), (store, owner, parts))))
        });
        Ok(parts.try_flatten().boxed())
    }

    async fn restore(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        self.move_in(key, session, &[]).await
    }

    async fn move_in(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        self.tiers.adopt_for(key).await?;
        match session.class {
            MemoryClass::Durable => {
                let _maker = self.tiers.making.lock(key).await;
                self.tiers.move_in(key, session, turns).await
            }
            MemoryClass::Ephemeral => {
                let (tiers, key, session) = (self.tiers.clone(), key.clone(), session.clone());
                let turns = turns.to_vec();
                let work = async move {
                    let _maker = tiers.making.lock(&key).await;
                    tiers.move_in(&key, &session, &turns).await
                };
                self.tiers.to_the_end("restore the session", work).await
            }
        }
    }
}

impl TieredMemory {
    /// What a part of the durable tier's export stands for: itself, or all that is alive of an
    /// ephemeral session.
    async fn now(&self, owner: &Owner, part: ExportPart) -> Result<Vec<ExportPart>, MemoryError> {
        let id = match &part {
            ExportPart::Session(head) if head.session().class == MemoryClass::Ephemeral => {
                head.session().id.clone()
            }
            ExportPart::Session(_) | ExportPart::Entry(_) => return Ok(vec![part]),
        };
        let key = SessionKey::new(owner.clone(), id);
        let found = self.tiers.hot_store(whole(&*self.tiers.hot.tier, &key)).await?;
        let Some(Whole { session, entries, summaries }) = found else { return Ok(Vec::new()) };
        let head = ExportPart::Session(ExportedHead::of(&session, summaries));
        let entries = entries.iter().map(|it| ExportPart::Entry(ExportedEntry::from(it)));
        Ok([head].into_iter().chain(entries).collect())
    }
}
