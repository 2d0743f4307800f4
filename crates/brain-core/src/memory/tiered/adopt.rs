//! Moving what the hot tier holds as a store of its own to the durable one.
//!
//! Such sessions are from a time without a durable tier. Each owner's are moved once in a process,
//! before anything else is done for the owner. A hot tier that several durable ones share keeps them
//! apart from what it has for each; they are this one's once they are taken over.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Tiers,
    ephemeral::{Whole, whole},
    hot::{Chain, WRITE},
    make::stub_of,
    stripes::Stripes,
};
use crate::{
    ids::{Owner, SessionKey},
    memory::{
        ExportedSession, ListOptions, MemoryClass, MemoryError, MemoryErrorKind, PageKey, Session,
    },
};

/// Most owners that are known to be adopted.
const OWNERS: usize = 16_384;
/// Sessions listed at a time.
const PAGE: usize = 100;
/// How long an owner's first request waits at most; the rest is adopted before a later one.
const LONGEST: Duration = Duration::from_secs(20);
/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whose sessions are adopted.
#[derive(Default)]
pub(super) struct Adoption {
    /// When to try again; `None` when there is nothing left to adopt.
    owners: Mutex<HashMap<Owner, Option<Duration>>>,
    adopting: Stripes,
}

impl Adoption {
    fn owners(&self) -> MutexGuard<'_, HashMap<Owner, Option<Duration>>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is to be done for this owner now.
    fn rests(&self, owner: &Owner, now: Duration) -> bool {
        self.owners().get(owner).is_some_and(|it| it.is_none_or(|again| now < again))
    }

    fn note(&self, owner: &Owner, again: Option<Duration>) {
        let mut owners = self.owners();
        if OWNERS <= owners.len() {
            owners.clear(); // they are looked at again, and nothing is found
        }
        owners.insert(owner.clone(), again);
    }
}

impl Tiers {
    /// Adopts what there is of this owner, if that was not done yet.
    pub(super) async fn adopt(self: &Arc<Self>, owner: &Owner) {
        let rests = || self.adoption.rests(owner, self.clock.elapsed());
        if rests() || self.hot.is_open() {
            return;
        }
        let _first = self.adoption.adopting.lock(owner).await;
        if rests() {
            return;
        }
        let again = match self.adopt_all(owner).await {
            Some(()) => None,
            None => Some(self.clock.elapsed() + PAUSE),
        };
        self.adoption.note(owner, again);
    }

    /// Returns whether that was all.
    async fn adopt_all(self: &Arc<Self>, owner: &Owner) -> Option<()> {
        let since = self.clock.elapsed();
        // What was forgotten while the hot tier was away is not to be found there again.
        if !self.settle_all().await.map_err(|error| put_off(owner, &error)).ok()? {
            return None;
        }
        let mut before = None;
        loop {
            let list =
                self.hot.tier.list(owner, ListOptions { before: before.take(), limit: PAGE });
            let page = self.hot_copy(WRITE, list).await?;
            let left = LONGEST.checked_sub(self.clock.elapsed().saturating_sub(since))?;
            let Some(last) = page.last() else {
                match self.hot_copy(left, self.hot.tier.take_over(owner)).await? {
                    0 => return Some(()),
                    _ => continue,
                }
            };
            before = Some(PageKey::from(last));
            let adopted = self.hot.within(left, self.adopt_page(owner, &page)).await;
            adopted.map_err(|error| put_off(owner, &error)).ok()?;
        }
    }

    async fn adopt_page(
        self: &Arc<Self>,
        owner: &Owner,
        page: &[Session],
    ) -> Result<(), MemoryError> {
        for session in page {
            let key = SessionKey::new(owner.clone(), session.id.clone());
            let _maker = self.making.lock(&key).await;
            match self.adopt_session(&key, session).await {
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => refused(&key, &error),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn adopt_session(
        self: &Arc<Self>,
        key: &SessionKey,
        session: &Session,
    ) -> Result<(), MemoryError> {
        match session.class {
            MemoryClass::Durable => {
                let found = self.hot_store(whole(&*self.hot.tier, key)).await?;
                let Some(whole) = found else { return Ok(()) };
                let Whole { session, entries, summaries } = whole;
                let whole = ExportedSession::of(&session, &entries, summaries);
                let restored = self.durable.restore(key, &whole).await?;
                tracing::info!(owner = %key.owner, session.id = %key.id, ?restored, "adopted");
                self.hot_moment(self.drop_primary(key)).await?;
                Ok(())
            }
            MemoryClass::Ephemeral => match self.durable.session(key).await? {
                Some(it) if it.class == MemoryClass::Ephemeral => Ok(()),
                Some(_) => Err(MemoryError::new("adopt the session", MemoryErrorKind::Conflict)),
                None => {
                    let session = ExportedSession::of(session, [], Vec::new());
                    self.durable.restore(key, &stub_of(&session)).await.map(|_| ())
                }
            },
        }
    }
}

/// The rest is tried again after a pause.
fn put_off(owner: &Owner, error: &MemoryError) {
    tracing::debug!(%owner, error = %Chain(error), "sessions of the hot tier are adopted later");
}

/// The durable session of the name stays as it is, and so does the hot one.
fn refused(key: &SessionKey, error: &MemoryError) {
    tracing::warn!(
        owner = %key.owner, session.id = %key.id, error = %Chain(error),
        "a session of the hot tier was not adopted; rename the durable one, then restart"
    );
}
