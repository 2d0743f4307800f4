//! Search by walking over what the owner has, and ranking as `brain_core::recall` does.
//!
//! Redis has no index of words: a search costs as much as reading what is searched. Embeddings are
//! fields beside their entries.
//!
//! A search has bounds, and says nothing when it meets one but to the log, at level debug:
//!
//! - It looks at the owner's 1,000 newest sessions, and at no further one once it has seen 100,000
//!   entries that can be found. Of a session of more it looks at the 100,000 newest positions.
//! - It keeps some 80 bytes of each entry, and the text of those alone that it returns: they are
//!   read again at the end. One that was forgotten meanwhile is left out, so that there may be fewer
//!   hits than there could be.
//! - Beside that, eight sessions are read at once, each in pages of 1 MiB.
//!
//! Pages and rankings that are more than a few entries are worked on off the runtime's threads.

mod digest;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, Seq, SessionKey, Token},
    memory::{
        Embedded, Hit, MemoryError, MemoryErrorKind, QueryVector, Recall, Search, Session,
        Unembedded,
    },
    recall::{Conversation, Survey, query_words, text_of},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use self::digest::Digest;
use crate::{
    branch::{self, PageSize},
    catalog::Side,
    embeddings, keys,
    reply::Reply,
    scripts,
    state::State,
    store::RedisStore,
};

const SEARCH: &str = "search";
const KEEP: &str = "keep the embeddings";
/// Most sessions that a search looks at: the newest.
const SESSIONS: usize = 1_000;
/// Entries after which a search looks at no further session, and most positions of one session.
const ENTRIES: u64 = 100_000;
/// How many sessions are read at once, and hits.
const AT_ONCE: usize = 8;
/// How much of a session is read at once.
const PAGE: PageSize = PageSize { entries: branch::PAGE, bytes: 1 << 20 };
/// Work on so many entries is done where it is asked for.
const FEW: usize = 16;

/// A session that is searched.
struct Searched {
    key: SessionKey,
    /// The session's first token.
    born: Token,
    digest: Digest,
}

/// What is looked for.
struct Query {
    words: Vec<String>,
    vector: Option<QueryVector>,
}

/// An entry that fits, by its name.
struct Found {
    key: SessionKey,
    born: Token,
    seq: Seq,
    score: f32,
}

/// The entries that fit best; `sessions` are the oldest first.
fn ranked(sessions: Vec<Searched>, query: &Query, limit: usize) -> Vec<Found> {
    let mut conversations: Vec<Conversation> = Vec::with_capacity(sessions.len());
    let (mut names, mut places) = (Vec::with_capacity(sessions.len()), Vec::new());
    for (number, Searched { key, born, digest }) in sessions.into_iter().enumerate() {
        let (conversation, said) = digest.into_parts();
        let said = said.into_iter().enumerate();
        places.extend(said.map(|(index, (time, seq))| (time, number, index, seq)));
        conversations.push(conversation);
        names.push((key, born));
    }
    // By when they were said, then by session and position: the greater the name, the newer.
    places.sort_unstable();
    for (id, (_, number, index, _)) in (0..).zip(&places) {
        let conversation = conversations.get_mut(*number);
        if let Some(place) = conversation.and_then(|it| it.places.get_mut(*index)) {
            place.id = id;
        }
    }
    let mut survey = Survey::new(query.words.len());
    conversations.into_iter().for_each(|it| survey.add(it));
    let found = survey.rank(limit).into_iter().filter_map(|it| {
        let (_, _, _, seq) = places.get(usize::try_from(it.id).ok()?)?;
        let (key, born) = names.get(it.conversation)?.clone();
        Some(Found { key, born, seq: *seq, score: it.score })
    });
    found.collect()
}

/// Does some work, off the runtime's threads if it is on more than a few entries.
async fn off_the_runtime<T: Send + 'static>(
    entries: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, MemoryError> {
    if entries <= FEW {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| MemoryError::new(SEARCH, MemoryErrorKind::Backend).with_source(error))
}

impl RedisStore {
    /// What a search keeps of a session; `None` if it is gone, or was forgotten meanwhile.
    async fn searched(
        &self,
        session: (SessionKey, u64),
        query: &Arc<Query>,
    ) -> Result<Option<Searched>, MemoryError> {
        let (key, entries) = session;
        let (mut digest, mut born) = (Digest::default(), None);
        let mut after = if entries <= ENTRIES { Seq(0) } else { self.searched_after(&key).await? };
        loop {
            let page = self.scan_page(&key, (after, PAGE), query.vector.is_some()).await?;
            let Some(page) = page else { return Ok(None) };
            if born.is_some_and(|it| it != page.state.born) {
                return Ok(None);
            }
            born = Some(page.state.born);
            after = page.reached;
            let is_last = page.state.last <= after;
            let (query, size) = (Arc::clone(query), page.entries.len());
            let work = move || digest.with(page.entries, page.embeddings, &query, is_last);
            digest = off_the_runtime(size, work).await?;
            if is_last {
                return Ok(Some(Searched { key, born: page.state.born, digest }));
            }
        }
    }

    /// Where the newest positions of a large session begin.
    async fn searched_after(&self, key: &SessionKey) -> Result<Seq, MemoryError> {
        tracing::debug!(operation = SEARCH, "looks at the newest entries of a session only");
        let page = self.scan_page(key, (Seq(0), PageSize::entries(0)), false).await?;
        Ok(Seq(page.map_or(0, |it| it.state.last.0.saturating_sub(ENTRIES))))
    }

    /// The owner's newest sessions, the oldest first.
    async fn search_in(
        &self,
        owner: &Owner,
        query: &Arc<Query>,
    ) -> Result<Vec<Searched>, MemoryError> {
        let newest = self.page(owner, Side::Newest, SESSIONS).await?.into_iter();
        let newest =
            newest.map(|Session { id, entries, .. }| (SessionKey::new(owner.clone(), id), entries));
        let newest: Vec<_> = newest.collect();
        let mut found =
            stream::iter(newest.into_iter().map(|it| self.searched(it, query))).buffered(AT_ONCE);
        let (mut sessions, mut entries) = (Vec::new(), 0);
        while let Some(session) = found.try_next().await? {
            let Some(session) = session else { continue };
            entries += session.digest.len();
            sessions.push(session);
            if ENTRIES < entries {
                tracing::debug!(operation = SEARCH, "looked at the newest sessions only");
                break;
            }
        }
        sessions.reverse();
        Ok(sessions)
    }

    /// The entry that was found, if it is still there and can be found.
    async fn hit(&self, found: Found) -> Result<Option<Hit>, MemoryError> {
        let Found { key, born, seq, score } = found;
        let mut fields = redis::cmd("HMGET");
        fields.arg(self.keys.session(&key)).arg(keys::STATE).arg(keys::entry(seq));
        let reply = Reply(SEARCH);
        let [line, value] = reply.array(self.pool.command(SEARCH, fields, false).await?)?;
        let (Some(line), Some(value)) = (reply.bytes(line)?, reply.bytes(value)?) else {
            return Ok(None);
        };
        let is_same = reply.parsed(&line, State::parse)?.born == born;
        let entry = branch::readable(seq, &value).filter(|it| text_of(&it.body).is_some());
        Ok(entry.filter(|_| is_same).map(|entry| Hit { session: key, entry, score }))
    }
}

#[async_trait]
impl Recall for RedisStore {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        let query = Query { words: query_words(&search.text), vector: search.vector.clone() };
        if search.limit == 0 || query.words.is_empty() && query.vector.is_none() {
            return Ok(Vec::new());
        }
        let query = Arc::new(query);
        let sessions = self.search_in(owner, &query).await?;
        let entries = sessions.iter().map(|it| it.digest.len()).sum::<u64>();
        let limit = search.limit;
        let size = usize::try_from(entries).unwrap_or(usize::MAX);
        let found = off_the_runtime(size, move || ranked(sessions, &query, limit)).await?;
        let hits = stream::iter(found.into_iter().map(|it| self.hit(it))).buffered(AT_ONCE);
        hits.try_filter_map(async |it| Ok(it)).try_collect().await
    }

    async fn unembedded(&self, model: &str, limit: usize) -> Result<Vec<Unembedded>, MemoryError> {
        embeddings::missing(self, model, limit).await
    }

    async fn keep_embeddings(
        &self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError> {
        let mut sessions: HashMap<SessionKey, Vec<Vec<u8>>> = HashMap::new();
        for Embedded { session, seq, values } in embeddings {
            let args = sessions.entry(session).or_default();
            args.extend([seq.to_string().into_bytes(), embeddings::encode(model, &values)]);
        }
        for (key, args) in sessions {
            let keys = [self.keys.session(&key)];
            self.pool.script(KEEP, &scripts::EMBED, &keys, args, true).await?;
        }
        Ok(())
    }
}
