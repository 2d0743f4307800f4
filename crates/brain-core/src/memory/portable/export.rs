//! Reading everything an owner has, out of any store.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::ExportedSession;
use crate::{
    ids::{Owner, Seq, SessionId, SessionKey},
    memory::{Entry, ListOptions, MemoryError, MemoryStore, PageKey, Session},
};

/// Sessions listed and entries scanned at a time.
const PAGE: usize = 500;

/// Everything `owner` has, oldest session first by (created, id).
///
/// One session at a time is in memory, and each is exported as it was at one moment. A session
/// that is made or forgotten meanwhile is left out; an open turn is not part of a session.
///
/// The first error is the last item.
pub fn export(
    store: Arc<dyn MemoryStore>,
    owner: Owner,
) -> BoxStream<'static, Result<ExportedSession, MemoryError>> {
    stream::once(async move {
        let ids = ids(&*store, &owner).await?;
        Ok(each(store, owner, ids))
    })
    .try_flatten()
    .boxed()
}

/// The owner's sessions, newest first.
async fn ids(store: &dyn MemoryStore, owner: &Owner) -> Result<Vec<SessionId>, MemoryError> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let page = store.list(owner, ListOptions { before, limit: PAGE }).await?;
        let Some(last) = page.last() else { return Ok(ids) };
        before = Some(PageKey::from(last));
        ids.extend(page.into_iter().map(|it| it.id));
    }
}

/// The sessions of a list of ids, from its end; fused by the first error.
fn each(
    store: Arc<dyn MemoryStore>,
    owner: Owner,
    ids: Vec<SessionId>,
) -> BoxStream<'static, Result<ExportedSession, MemoryError>> {
    stream::try_unfold(ids, move |mut ids| {
        let (store, owner) = (Arc::clone(&store), owner.clone());
        async move {
            while let Some(id) = ids.pop() {
                let key = SessionKey::new(owner.clone(), id);
                if let Some(session) = snapshot(&*store, &key).await? {
                    return Ok(Some((session, ids)));
                }
            }
            Ok(None)
        }
    })
    .boxed()
}

/// The session as it was at one moment; `None` if it was forgotten.
///
/// Entries only ever arrive after those that are there, so the first `session.entries` of a later
/// scan are those of the moment; unless the name was forgotten and used again meanwhile.
async fn snapshot(
    store: &dyn MemoryStore,
    key: &SessionKey,
) -> Result<Option<ExportedSession>, MemoryError> {
    while let Some(session) = store.session(key).await? {
        let entries = first_entries(store, key, session.entries).await?;
        let after = store.session(key).await?;
        if after.is_some_and(|it| goes_on_from(&session, &it)) {
            return Ok(Some(ExportedSession::of(&session, &entries)));
        }
    }
    Ok(None)
}

fn goes_on_from(before: &Session, after: &Session) -> bool {
    after.created_at == before.created_at && before.entries <= after.entries
}

async fn first_entries(
    store: &dyn MemoryStore,
    key: &SessionKey,
    count: u64,
) -> Result<Vec<Entry>, MemoryError> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut entries: Vec<Entry> = Vec::new();
    while entries.len() < count {
        let after = entries.last().map_or(Seq(0), |it| it.seq);
        let page = store.scan(key, after, PAGE.min(count - entries.len())).await?;
        if page.is_empty() {
            break;
        }
        entries.extend(page);
    }
    Ok(entries)
}
