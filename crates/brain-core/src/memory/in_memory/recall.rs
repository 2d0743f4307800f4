//! Search in the reference store: it looks at every entry of the owner and leaves the ranking to
//! [`crate::recall`].
//!
//! The words of an entry are kept as numbers when it comes, made before the store is locked. A
//! search takes copies of those, a page at a time, and works on them without the lock; between two
//! pages it lets others of its thread go on.

#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Deref,
    sync::Arc,
    task::Poll,
};

use super::{InMemoryStore, session::Stored, state::State, weight};
use crate::{
    ids::{Owner, SessionKey},
    memory::{
        Append, Embedded, EntryBody, ExportedSession, Hit, MemoryError, PageKey, QueryVector,
        Search, Unembedded,
    },
    recall::{
        self, Conversation, Place, REACH, Ranked, Survey, Vector, closeness, query_words, text_of,
    },
};

/// Entries that are copied under one lock, and vectors that are compared at once.
const PAGE: usize = 1_024;
/// Entries of an import that are taken apart at once.
const IMPORTED: usize = 16;
/// A search compares no more vectors than those, of the newest sessions.
const VECTORS: usize = 20_000;

/// By what an entry is found.
#[derive(Debug)]
pub(super) struct Terms {
    /// Its words as numbers, which rise.
    words: Box<[u64]>,
    asks: bool,
}

impl Terms {
    /// Those of an entry; `None` if it is not to be found.
    fn of(body: &EntryBody) -> Option<Arc<Self>> {
        let mut words = Vec::new();
        let asks = recall::each_word_said(body, &mut |it| words.push(number_of(it)))?;
        words.sort_unstable();
        words.dedup();
        Some(Arc::new(Self { words: words.into(), asks }))
    }

    /// How many words there are.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// Which of a query's words are among them; bit n: word n.
    fn holding(&self, query: &[u64]) -> u64 {
        let held = query.iter().enumerate().filter(|(_, it)| self.words.binary_search(it).is_ok());
        held.fold(0, |mask, (bit, _)| mask | 1 << bit)
    }
}

fn number_of(word: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

/// By what each of some entries is found.
pub(super) type Found = Vec<Option<Arc<Terms>>>;

/// By what the entries of an append are found; worth doing before the store is locked.
pub(super) fn found_in(append: &Append) -> Found {
    append.drafts.iter().map(|it| Terms::of(it.body())).collect()
}

/// The same of an import; others of the thread go on meanwhile.
pub(super) async fn found_in_import(import: &ExportedSession) -> Found {
    let mut found = Found::with_capacity(import.entries.len());
    for page in import.entries.chunks(IMPORTED) {
        if !found.is_empty() {
            give_way().await;
        }
        found.extend(page.iter().map(|it| Terms::of(&it.entry)));
    }
    found
}

/// An append, and by what each of its entries is found.
pub(super) struct Indexed<'a> {
    pub(super) append: &'a Append,
    pub(super) found: Found,
}

impl Deref for Indexed<'_> {
    type Target = Append;

    fn deref(&self) -> &Append {
        self.append
    }
}

/// A copy of what a search needs of an entry.
struct Copied {
    arrival: u64,
    terms: Arc<Terms>,
    /// If it can be compared with the query's.
    vector: Option<Arc<[f32]>>,
}

impl Copied {
    fn of(stored: &Stored, query: Option<&QueryVector>) -> Option<Self> {
        let terms = Arc::clone(stored.terms.as_ref()?);
        let vector = query.zip(stored.embedding.as_ref());
        let vector = vector.filter(|(query, (model, values))| {
            query.model == *model && query.values.len() == values.len()
        });
        let vector = vector.map(|(_, (_, values))| Arc::clone(values));
        Some(Self { arrival: stored.arrival, terms, vector })
    }
}

/// A session as far as it was looked at.
#[derive(Default)]
struct Looked {
    conversation: Conversation,
    /// By position.
    vectors: Vec<(u64, Arc<[f32]>)>,
}

impl Looked {
    fn add(&mut self, copied: Copied, words: &[u64]) {
        let Copied { arrival, terms, vector } = copied;
        let position = self.conversation.places.len() as u64;
        self.conversation.words += terms.len() as u64;
        self.conversation.places.push(Place {
            // It names an entry among all.
            id: i64::try_from(arrival).unwrap_or(i64::MAX),
            position,
            words: u32::try_from(terms.len()).unwrap_or(u32::MAX),
            asks: terms.asks,
            terms: terms.holding(words),
            closeness: None,
        });
        self.vectors.extend(vector.map(|it| (position, it)));
    }

    /// Compares the newest so many vectors with the query's; returns how many those were.
    async fn compare(&mut self, query: &[f32], most: usize) -> usize {
        let skipped = self.vectors.len().saturating_sub(most);
        let vectors = self.vectors.get(skipped..).unwrap_or_default();
        let reach = usize::try_from(REACH).unwrap_or(usize::MAX);
        for first in (0..vectors.len()).step_by(PAGE) {
            // With the neighbours of the page on both sides.
            let before = first.min(reach);
            let window = vectors.iter().skip(first - before).take(before + PAGE + reach);
            let vector = |(position, values): &(u64, Arc<[f32]>)| Vector {
                position: *position,
                values: values.to_vec(),
            };
            let window: Vec<Vector> = window.map(vector).collect();
            let close = window.iter().zip(closeness(query, &window));
            for (vector, close) in close.skip(before).take(PAGE) {
                let index = usize::try_from(vector.position).unwrap_or(usize::MAX);
                if let Some(place) = self.conversation.places.get_mut(index) {
                    place.closeness = Some(close);
                }
            }
            give_way().await;
        }
        vectors.len()
    }
}

/// Lets others of the same thread go on whenever as much as a page was looked at.
#[derive(Default)]
struct Pace(usize);

impl Pace {
    async fn after(&mut self, entries: usize) {
        self.0 += entries;
        if PAGE <= self.0 {
            self.0 = 0;
            give_way().await;
        }
    }
}

/// Lets others of the same thread go on.
async fn give_way() {
    let mut gave = false;
    poll_fn(|context| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl InMemoryStore {
    pub(super) async fn find(&self, owner: &Owner, search: &Search) -> Vec<Hit> {
        let words = query_words(&search.text);
        if search.limit == 0 || words.is_empty() && search.vector.is_none() {
            return Vec::new();
        }
        let numbers: Vec<u64> = words.iter().map(|it| number_of(it)).collect();
        let sessions = self.state().newest_first(owner);
        let (mut survey, mut left) = (Survey::new(words.len()), VECTORS);
        let mut pace = Pace::default();
        for key in &sessions {
            let query = search.vector.as_ref().filter(|_| 0 < left);
            let mut looked = self.look(key, (&numbers, query), &mut pace).await;
            if let Some(query) = query {
                left -= looked.compare(&query.values, left).await;
            }
            survey.add(looked.conversation);
        }
        let ranked = survey.rank(search.limit);
        let state = self.state();
        ranked.iter().filter_map(|it| state.hit(sessions.get(it.conversation)?, it)).collect()
    }

    /// What a search needs of one session.
    async fn look(
        &self,
        key: &SessionKey,
        (words, query): (&[u64], Option<&QueryVector>),
        pace: &mut Pace,
    ) -> Looked {
        let (mut looked, mut from) = (Looked::default(), 0);
        loop {
            let (copied, rest) = self.state().copy(key, from, query);
            // What cannot be found was looked at, too, and so was an empty session.
            pace.after(if rest == 0 { copied.len() + 1 } else { PAGE }).await;
            copied.into_iter().for_each(|it| looked.add(it, words));
            if rest == 0 {
                return looked;
            }
            from += PAGE;
        }
    }
}

impl State {
    /// The owner's sessions by (created, id).
    fn newest_first(&self, owner: &Owner) -> Vec<SessionKey> {
        let mut sessions: Vec<_> = self.of_owner(owner).collect();
        sessions.sort_by_cached_key(|(_, it)| std::cmp::Reverse(PageKey::from(&it.session)));
        sessions.into_iter().map(|(key, _)| key.clone()).collect()
    }

    /// Copies of a page of a session's entries, and how many come after it.
    fn copy(
        &self,
        key: &SessionKey,
        from: usize,
        query: Option<&QueryVector>,
    ) -> (Vec<Copied>, usize) {
        let entries = self.sessions.get(key).and_then(|it| it.entries().get(from..));
        let entries = entries.unwrap_or_default();
        let copied = entries.iter().take(PAGE).filter_map(|it| Copied::of(it, query)).collect();
        (copied, entries.len().saturating_sub(PAGE))
    }

    /// The entry that was found, if nobody forgot it meanwhile.
    fn hit(&self, key: &SessionKey, ranked: &Ranked) -> Option<Hit> {
        let entries = self.sessions.get(key)?.entries();
        let arrival = u64::try_from(ranked.id).ok()?;
        let index = entries.binary_search_by_key(&arrival, |it| it.arrival).ok()?;
        let stored = entries.get(index).filter(|it| it.terms.is_some())?;
        Some(Hit { session: key.clone(), entry: stored.entry.clone(), score: ranked.score })
    }

    pub(super) fn unembedded(&self, model: &str, limit: usize) -> Vec<Unembedded> {
        let mut found: Vec<(&SessionKey, &Stored)> = Vec::new();
        for (key, session) in &self.sessions {
            let due = |it: &&Stored| it.terms.is_some() && !it.is_embedded_by(model);
            found.extend(session.entries().iter().filter(due).map(|it| (key, it)));
        }
        if limit < found.len() {
            found.select_nth_unstable_by_key(limit, |(_, it)| it.arrival);
            found.truncate(limit);
        }
        found.sort_unstable_by_key(|(_, it)| it.arrival);
        let unembedded = found.into_iter().filter_map(|(key, it)| {
            let text = text_of(&it.entry.body)?;
            Some(Unembedded { session: key.clone(), seq: it.entry.seq, text })
        });
        unembedded.collect()
    }

    pub(super) fn keep_embeddings(
        &mut self,
        model: &str,
        embeddings: Vec<Embedded>,
    ) -> Result<(), MemoryError> {
        for Embedded { session, seq, values } in embeddings {
            self.room.check(weight::embedding(model, &values))?;
            self.change(&session, |it, _| it.keep_embedding(seq, (model.to_owned(), values)));
        }
        Ok(())
    }
}
