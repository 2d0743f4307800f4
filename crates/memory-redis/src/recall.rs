//! Search by walking over what the owner has, and ranking as `brain_core::recall` does.
//!
//! Redis has no index of words: a search costs as much as reading what is searched, and looks at the
//! newest sessions only where an owner has very many. Embeddings are fields beside their entries.

use std::collections::HashMap;

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, Seq, SessionKey},
    memory::{Embedded, Entry, Hit, MemoryError, QueryVector, Recall, Search, Unembedded},
    recall::{Conversation, Corpus, Document, Place, Term, Vector, closeness, query_words, rank},
    time::Timestamp,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{branch, catalog::Side, embeddings, scripts, store::RedisStore};

const SEARCH: &str = "search";
const KEEP: &str = "keep the embeddings";
/// Most sessions that a search looks at: the newest.
const SESSIONS: usize = 1_000;
/// Most entries that a search looks at, but for those of the session that goes beyond.
const ENTRIES: usize = 100_000;
/// How many sessions are read at once.
const AT_ONCE: usize = 8;

/// A session that is searched.
struct Searched {
    key: SessionKey,
    /// Its entries that can be found, by position.
    entries: Vec<(Entry, Document)>,
    /// How close each is that was compared.
    closeness: Vec<Option<f32>>,
}

/// What is looked for.
struct Query<'a> {
    words: Vec<String>,
    vector: Option<&'a QueryVector>,
}

impl Query<'_> {
    fn terms_in(&self, document: &Document) -> u64 {
        let held = self.words.iter().enumerate().filter(|(_, it)| document.words.contains(*it));
        held.fold(0, |mask, (bit, _)| mask | 1 << bit)
    }
}

/// What a search has seen.
struct Seen {
    corpus: Corpus,
    terms: Vec<Term>,
    conversations: Vec<Conversation>,
}

impl Seen {
    /// Counts what there is; `newness` names entries by session and index.
    fn of(
        sessions: &[Searched],
        query: &Query<'_>,
        newness: &HashMap<(usize, usize), i64>,
    ) -> Self {
        let terms = vec![Term::default(); query.words.len()];
        let mut seen = Self { corpus: Corpus::default(), terms, conversations: Vec::new() };
        for (number, session) in sessions.iter().enumerate() {
            let mut conversation = Conversation::default();
            for (index, (_, document)) in session.entries.iter().enumerate() {
                conversation.words += document.words.len() as u64;
                conversation.places.push(Place {
                    id: newness.get(&(number, index)).copied().unwrap_or_default(),
                    position: index as u64,
                    words: u32::try_from(document.words.len()).unwrap_or(u32::MAX),
                    asks: document.asks,
                    terms: query.terms_in(document),
                    closeness: session.closeness.get(index).copied().flatten(),
                });
            }
            seen.count(&conversation);
            seen.conversations.push(conversation);
        }
        let close = sessions.iter().flat_map(|it| &it.closeness).flatten();
        let (sum, count) = close.fold((0.0, 0_u32), |(sum, count), it| (sum + it, count + 1));
        seen.corpus.closeness = (0 < count).then(|| sum / count as f32);
        seen
    }

    fn count(&mut self, conversation: &Conversation) {
        let places = &conversation.places;
        self.corpus.entries += places.len() as u64;
        self.corpus.sessions += u64::from(!places.is_empty());
        self.corpus.words += conversation.words;
        for (bit, term) in self.terms.iter_mut().enumerate() {
            let with = places.iter().filter(|it| it.terms >> bit & 1 == 1).count() as u64;
            term.entries += with;
            term.sessions += u64::from(0 < with);
        }
    }
}

/// A number for each entry, the greater the newer: by when it was said, then by session and
/// position.
fn newness(sessions: &[Searched]) -> HashMap<(usize, usize), i64> {
    let mut said: Vec<(Timestamp, usize, usize)> = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        let entries = session.entries.iter().enumerate();
        said.extend(entries.map(|(index, (entry, _))| (entry.body.created_at, number, index)));
    }
    said.sort_unstable();
    (0..).zip(said).map(|(newness, (_, number, index))| ((number, index), newness)).collect()
}

impl RedisStore {
    async fn searched(
        &self,
        key: SessionKey,
        vector: Option<&QueryVector>,
    ) -> Result<Searched, MemoryError> {
        let (mut entries, mut vectors, mut after) = (Vec::new(), Vec::new(), Seq(0));
        while let Some(page) = self.scan_page(&key, (after, usize::MAX), vector.is_some()).await? {
            let mut embeddings = page.embeddings.into_iter();
            for (seq, entry) in page.entries {
                let embedding = embeddings.next();
                let Some(entry) = branch::readable(seq, entry) else { continue };
                let Some(document) = Document::of(&entry.body) else { continue };
                let position = entries.len() as u64;
                let values =
                    vector.zip(embedding).and_then(|(it, bytes)| embeddings::of(it, &bytes));
                vectors.extend(values.map(|values| Vector { position, values }));
                entries.push((entry, document));
            }
            after = page.reached;
            if page.state.last <= after {
                break;
            }
        }
        let mut compared = vec![None; entries.len()];
        if let Some(query) = vector {
            for (vector, close) in vectors.iter().zip(closeness(&query.values, &vectors)) {
                let place = usize::try_from(vector.position).ok();
                if let Some(place) = place.and_then(|it| compared.get_mut(it)) {
                    *place = Some(close);
                }
            }
        }
        Ok(Searched { key, entries, closeness: compared })
    }

    /// The owner's newest sessions with their entries, the oldest first.
    async fn search_in(
        &self,
        owner: &Owner,
        vector: Option<&QueryVector>,
    ) -> Result<Vec<Searched>, MemoryError> {
        let newest = self.page(owner, Side::Newest, SESSIONS).await?;
        let keys = newest.into_iter().map(|it| SessionKey::new(owner.clone(), it.id));
        let mut found = stream::iter(keys.map(|it| self.searched(it, vector))).buffered(AT_ONCE);
        let (mut sessions, mut entries) = (Vec::new(), 0);
        while let Some(session) = found.try_next().await? {
            entries += session.entries.len();
            sessions.push(session);
            if ENTRIES < entries {
                tracing::debug!(operation = SEARCH, "looked at the newest sessions only");
                break;
            }
        }
        sessions.reverse();
        Ok(sessions)
    }
}

#[async_trait]
impl Recall for RedisStore {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        let query = Query { words: query_words(&search.text), vector: search.vector.as_ref() };
        if search.limit == 0 || query.words.is_empty() && query.vector.is_none() {
            return Ok(Vec::new());
        }
        let sessions = self.search_in(owner, query.vector).await?;
        let newness = newness(&sessions);
        let seen = Seen::of(&sessions, &query, &newness);
        let places: HashMap<i64, (usize, usize)> =
            newness.into_iter().map(|(place, id)| (id, place)).collect();
        let ranked = rank(&seen.corpus, &seen.terms, &seen.conversations, search.limit);
        let hits = ranked.into_iter().filter_map(|it| {
            let (number, index) = places.get(&it.id)?;
            let session = sessions.get(*number)?;
            let (entry, _) = session.entries.get(*index)?;
            Some(Hit { session: session.key.clone(), entry: entry.clone(), score: it.score })
        });
        Ok(hits.collect())
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
