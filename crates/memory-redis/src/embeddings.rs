//! Embeddings as bytes, and which entries have none yet.
//!
//! A session remembers up to where its entries are embedded. Which sessions to look at is told by
//! the index of all sessions, that a turn's begin and end bring up to date, and an append outside of
//! turns: after the first time, those that changed since the last.

use brain_core::{
    ids::{Seq, SessionKey},
    memory::{MemoryError, QueryVector, Unembedded},
    recall::text_of,
    time::Timestamp,
};

use crate::{
    branch::{self, PageSize},
    index::{GRACE, scored},
    keys::{self, parse_name},
    reply::Reply,
    store::{Change, Look, RedisStore},
};

const FIND: &str = "find what is not embedded";
/// How many sessions are looked at before the index is asked again.
const PAGE: usize = 500;

/// An embedding's bytes: the model, a line feed, the numbers.
pub(crate) fn encode(model: &str, values: &[f32]) -> Vec<u8> {
    let numbers = values.iter().flat_map(|it| it.to_le_bytes());
    model.bytes().chain([b'\n']).chain(numbers).collect()
}

/// The model of such bytes, and the numbers.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|it| *it == b'\n')?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// The numbers, if they can be compared with the query's.
pub(crate) fn of(query: &QueryVector, bytes: &[u8]) -> Option<Vec<f32>> {
    let (_, numbers) = split(bytes).filter(|(it, _)| *it == query.model.as_bytes())?;
    let (numbers, rest) = numbers.as_chunks::<4>();
    let values: Vec<f32> = numbers.iter().map(|it| f32::from_le_bytes(*it)).collect();
    (rest.is_empty() && values.len() == query.values.len()).then_some(values)
}

/// Entries that have no embedding of this model.
pub(crate) async fn missing(
    store: &RedisStore,
    model: &str,
    limit: usize,
) -> Result<Vec<Unembedded>, MemoryError> {
    let now = store.now(FIND).await?;
    let since = store.embedded.since(model);
    let (mut missing, mut skip) = (Vec::new(), 0);
    while missing.len() < limit {
        let page = changed(store, since, skip).await?;
        skip += page.len();
        let whole = page.len() == PAGE;
        for key in page {
            let rest = limit - missing.len();
            if rest == 0 {
                return Ok(missing);
            }
            missing.extend(missing_in(store, &key, model, rest).await?);
        }
        if !whole {
            if missing.is_empty() {
                store.embedded.reached(model, now);
            }
            break;
        }
    }
    Ok(missing)
}

/// Sessions that changed since then, as far as the index knows.
async fn changed(
    store: &RedisStore,
    since: Option<Timestamp>,
    skip: usize,
) -> Result<Vec<SessionKey>, MemoryError> {
    let grace = i64::try_from(GRACE.as_millis()).unwrap_or(i64::MAX);
    let since = since.map(|it| it.as_millis().saturating_sub(grace).to_string());
    let mut range = redis::cmd("ZRANGEBYSCORE");
    range.arg(store.keys.sessions()).arg(since.as_deref().unwrap_or("-inf")).arg("+inf");
    range.arg("WITHSCORES").arg("LIMIT").arg(skip).arg(PAGE);
    let found = scored(Reply(FIND), store.pool.command(FIND, range, false).await?)?;
    Ok(found.iter().filter_map(|(name, _)| parse_name(name)).collect())
}

/// The first entries of a session that have no embedding of this model.
async fn missing_in(
    store: &RedisStore,
    key: &SessionKey,
    model: &str,
    limit: usize,
) -> Result<Vec<Unembedded>, MemoryError> {
    let reply = Reply(FIND);
    let seen = store.look(FIND, key, Look::at([keys::EMBEDDED.to_vec()])).await?;
    let Some(stored) = &seen.stored else { return Ok(Vec::new()) };
    let mark = seen.field(0).map(|it| reply.parsed(it, |it| parse_mark(it, model))).transpose()?;
    let before = mark.unwrap_or_default();
    let (mut after, mut done, mut missing) = (before, before, Vec::new());
    while after < stored.state.last && missing.len() < limit {
        let size = PageSize::entries(branch::PAGE);
        let Some(page) = store.scan_page(key, (after, size), true).await? else { break };
        for ((seq, value), embedding) in page.entries.into_iter().zip(&page.embeddings) {
            let known = split(embedding).is_some_and(|(it, _)| it == model.as_bytes());
            match branch::readable(seq, &value).and_then(|it| text_of(&it.body)) {
                Some(text) if !known && missing.len() < limit => {
                    missing.push(Unembedded { session: key.clone(), seq, text });
                }
                Some(_) | None if missing.is_empty() => done = seq,
                Some(_) | None => {}
            }
        }
        after = page.reached;
    }
    if before < done {
        let guards = vec![(keys::DESCRIPTION.to_vec(), stored.description.clone())];
        let mark = format!("{done} {model}").into_bytes();
        let sets = vec![(keys::EMBEDDED.to_vec(), mark)];
        let change = Change { guards, sets, unnoticed: true, ..Change::default() };
        store.commit(FIND, key, change).await?;
    }
    Ok(missing)
}

/// Up to where entries are embedded by this model.
fn parse_mark(mark: &str, model: &str) -> Option<Seq> {
    let (seq, by) = mark.split_once(' ')?;
    let seq = Seq(seq.parse().ok()?);
    Some(if by == model { seq } else { Seq(0) })
}
