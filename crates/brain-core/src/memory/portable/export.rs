//! Reading everything an owner has, out of a store that lists and scans.

use std::{mem, sync::Arc};

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::{ExportPart, ExportedEntry, ExportedHead, ExportedSession};
use crate::{
    ids::{Owner, Seq, SessionId, SessionKey},
    memory::{Catalog, Entry, ListOptions, MemoryError, MemoryStore, PageKey, Session, SessionLog},
};

/// Sessions listed and entries scanned at a time.
const PAGE: usize = 500;

/// Everything `owner` has, oldest session first, one whole session at a time.
///
/// The first error is the last item.
pub fn export(
    store: Arc<dyn MemoryStore>,
    owner: Owner,
) -> BoxStream<'static, Result<ExportedSession, MemoryError>> {
    let parts = stream::once(async move { store.export(&owner).await }).try_flatten();
    let parts = parts.map_ok(Some).chain(stream::iter([Ok(None)])).boxed();
    let gathered = (parts, None::<ExportedHead>, Vec::new());
    stream::try_unfold(gathered, async |(mut parts, mut head, mut entries)| {
        while let Some(part) = parts.try_next().await? {
            let next = match part {
                Some(ExportPart::Entry(entry)) => {
                    entries.push(entry);
                    continue;
                }
                Some(ExportPart::Session(next)) => Some(next),
                None => None,
            };
            if let Some(done) = mem::replace(&mut head, next) {
                let session = done.with(mem::take(&mut entries));
                return Ok(Some((session, (parts, head, entries))));
            }
        }
        Ok(None)
    })
    .boxed()
}

/// Everything `owner` has, oldest session first by (created, id).
///
/// For stores without snapshots: one session at a time is in memory, and each is exported as it was
/// at one moment. A session that is made or forgotten meanwhile is left out.
///
/// The first error is the last item.
pub fn export_by_scan<S: SessionLog + Catalog + Clone>(
    store: S,
    owner: Owner,
) -> BoxStream<'static, Result<ExportPart, MemoryError>> {
    stream::once(async move {
        let ids = ids(&store, &owner).await?;
        Ok(each(store, owner, ids))
    })
    .try_flatten()
    .boxed()
}

/// The owner's sessions, newest first.
async fn ids(store: &impl Catalog, owner: &Owner) -> Result<Vec<SessionId>, MemoryError> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let page = store.list(owner, ListOptions { before, limit: PAGE }).await?;
        let Some(last) = page.last() else { return Ok(ids) };
        before = Some(PageKey::from(last));
        ids.extend(page.into_iter().map(|it| it.id));
    }
}

/// The sessions of a list of ids, from its end; fused by the first error.
fn each<S: SessionLog + Catalog + Clone>(
    store: S,
    owner: Owner,
    ids: Vec<SessionId>,
) -> BoxStream<'static, Result<ExportPart, MemoryError>> {
    stream::try_unfold(ids, move |mut ids| {
        let (store, owner) = (store.clone(), owner.clone());
        async move {
            while let Some(id) = ids.pop() {
                let key = SessionKey::new(owner.clone(), id);
                if let Some((head, entries)) = snapshot(&store, &key).await? {
                    let entries = entries.into_iter().map(|it| ExportedEntry::from(&it));
                    let parts = entries.map(|it| Ok(ExportPart::Entry(it)));
                    let head = stream::iter([Ok(ExportPart::Session(head))]);
                    return Ok(Some((head.chain(stream::iter(parts)), ids)));
                }
            }
            Ok(None)
        }
    })
    .try_flatten()
    .boxed()
}

/// The session as it was at one moment; `None` if it was forgotten.
///
/// Entries only ever arrive after those that are there, so the first `session.entries` of a later
/// scan are those of the moment; unless the name was forgotten and used again meanwhile.
async fn snapshot(
    store: &(impl SessionLog + Catalog),
    key: &SessionKey,
) -> Result<Option<(ExportedHead, Vec<Entry>)>, MemoryError> {
    while let Some(session) = store.session(key).await? {
        let entries = first_entries(store, key, session.entries).await?;
        let mut summaries = store.summaries(key).await?;
        summaries.retain(|it| entries.last().is_some_and(|last| it.at <= last.seq));
        let after = store.session(key).await?;
        if after.is_some_and(|it| goes_on_from(&session, &it)) {
            return Ok(Some((ExportedHead::of(&session, summaries), entries)));
        }
    }
    Ok(None)
}

fn goes_on_from(before: &Session, after: &Session) -> bool {
    after.created_at == before.created_at && before.entries <= after.entries
}

async fn first_entries(
    store: &impl SessionLog,
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
