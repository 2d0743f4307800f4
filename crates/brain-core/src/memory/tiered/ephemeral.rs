//! Sessions whose content the hot tier holds alone: whether it is still there.

use std::sync::Arc;

use super::{Tiers, copies::Change, hot::unavailable};
use crate::{
    ids::{Seq, SessionKey},
    memory::{Entry, HotTier, MemoryError, MemoryErrorKind, Session, Summary},
};

/// Entries scanned at a time.
const PAGE: usize = 500;
/// How often a session is read again that changes meanwhile.
const TRIES: u32 = 8;

pub(super) fn expired(operation: &'static str) -> MemoryError {
    MemoryError::new(operation, MemoryErrorKind::Expired)
}

impl Tiers {
    /// A session that the hot tier holds alone.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Expired`] when it does not any more, and those of the tier.
    pub(super) async fn live(self: &Arc<Self>, key: &SessionKey) -> Result<Session, MemoryError> {
        let found = self.hot_store(self.hot.tier.session(key)).await?;
        found.ok_or_else(|| expired("find the session"))
    }

    /// Whether a session is an ephemeral one that the hot tier does not hold any more.
    ///
    /// # Errors
    ///
    /// Those of the tiers that a retry may not meet; one that cannot be read has not expired.
    pub(super) async fn has_expired(
        self: &Arc<Self>,
        key: &SessionKey,
    ) -> Result<bool, MemoryError> {
        if !self.is_ephemeral(key).await? {
            return Ok(false);
        }
        match self.live(key).await {
            Ok(_) => Ok(false),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => Ok(error.kind() == MemoryErrorKind::Expired),
        }
    }

    /// A call about such a session that conflicts where there is none.
    ///
    /// # Errors
    ///
    /// [`MemoryErrorKind::Expired`] when there is none, and those of the call.
    pub(super) async fn of_live<T>(
        self: &Arc<Self>,
        key: &SessionKey,
        call: impl Future<Output = Result<T, MemoryError>>,
    ) -> Result<T, MemoryError> {
        let done = self.hot_store(call).await;
        if done.as_ref().is_err_and(|it| it.kind() == MemoryErrorKind::Conflict) {
            self.live(key).await?;
        }
        done
    }

    /// Such a call that changes the session.
    ///
    /// # Errors
    ///
    /// Those of [`Self::of_live`].
    pub(super) async fn change_live<T>(
        self: &Arc<Self>,
        key: &SessionKey,
        call: impl Future<Output = Result<T, MemoryError>>,
    ) -> Result<T, MemoryError> {
        let done = self.of_live(key, call).await?;
        self.later(key, Change::Touch);
        Ok(done)
    }
}

/// A session with its entries by position and its summaries.
pub(super) struct Whole {
    pub(super) session: Session,
    pub(super) entries: Vec<Entry>,
    pub(super) summaries: Vec<Summary>,
}

/// All of a session as it was at one moment; `None` if there is none.
///
/// # Errors
///
/// [`MemoryErrorKind::Unavailable`] when it changes without a pause, and those of the tier.
pub(super) async fn whole(
    tier: &dyn HotTier,
    key: &SessionKey,
) -> Result<Option<Whole>, MemoryError> {
    for _ in 0..TRIES {
        let Some(session) = tier.session(key).await? else { return Ok(None) };
        let (entries, summaries) = (all(tier, key).await?, tier.summaries(key).await?);
        if tier.session(key).await?.is_some_and(|it| it == session) {
            return Ok(Some(Whole { session, entries, summaries }));
        }
    }
    Err(unavailable("read the session").with_source("it changes without a pause"))
}

async fn all(tier: &dyn HotTier, key: &SessionKey) -> Result<Vec<Entry>, MemoryError> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(Seq(0), |it| it.seq);
        let page = tier.scan(key, after, PAGE).await?;
        if page.is_empty() {
            return Ok(entries);
        }
        entries.extend(page);
    }
}
