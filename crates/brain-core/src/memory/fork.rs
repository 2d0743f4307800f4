//! Making a session of its own out of one branch of another.

use super::{
    Branch, Entry, ExportedSession, MemoryError, MemoryErrorKind, MemoryStore, ReadFrom,
    ReadOptions, Session, Summary,
};
use crate::{ids::SessionKey, time::Timestamp};

/// Copies the branch that ends `from` there into a new session `to`, which has its entries at the
/// same positions, and the prompt, metadata and class of the other. Returns the new session;
/// `None` if there is no session `key`.
///
/// # Errors
///
/// [`MemoryErrorKind::Conflict`] when `to` exists, [`MemoryErrorKind::UnknownParent`] when there is
/// no such entry, [`MemoryErrorKind::InsideToolRound`] when it lies inside a tool round.
pub async fn fork(
    store: &dyn MemoryStore,
    key: &SessionKey,
    from: ReadFrom,
    to: (&SessionKey, Option<String>),
    now: Timestamp,
) -> Result<Option<Session>, MemoryError> {
    let (to, title) = to;
    let options = ReadOptions { from, limit: usize::MAX, unverified: false };
    let Some(Branch { session, entries, .. }) = store.read(key, options).await? else {
        return Ok(None);
    };
    if store.session(to).await?.is_some() {
        return Err(MemoryError::new("fork the session", MemoryErrorKind::Conflict));
    }
    let mut summaries = store.summaries(key).await?;
    summaries.retain(|it| is_on(&entries, it));
    let session = Session {
        id: to.id.clone(),
        has_default_title: title.is_none() && session.has_default_title,
        title: title.or_else(|| session.title.clone()),
        head: entries.last().map(|it| it.seq),
        created_at: now,
        updated_at: now,
        ..session
    };
    store.restore(to, &ExportedSession::of(&session, &entries, summaries)).await?;
    store.session(to).await
}

fn is_on(branch: &[Entry], summary: &Summary) -> bool {
    branch.binary_search_by_key(&summary.at, |it| it.seq).is_ok()
}
