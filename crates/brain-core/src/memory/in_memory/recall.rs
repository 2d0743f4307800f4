//! Search in the reference store: it looks at every entry of the owner and leaves the ranking to
//! [`crate::recall`].

use std::{collections::HashMap, sync::Arc};

use super::{
    session::{Stored, StoredSession},
    state::State,
};
use crate::{
    ids::{Owner, SessionKey},
    memory::{Embedded, EntryStatus, Hit, QueryVector, Search, Unembedded},
    recall::{
        Conversation, Corpus, Document, Place, Term, Vector, closeness, query_words, rank, text_of,
    },
};

/// What a search has seen.
#[derive(Default)]
struct Seen<'a> {
    corpus: Corpus,
    terms: Vec<Term>,
    conversations: Vec<Conversation>,
    /// By arrival, which names an entry among all.
    entries: HashMap<i64, (&'a SessionKey, &'a Stored)>,
    /// The sum of all closeness, and of how many.
    closeness: (f32, u64),
}

impl<'a> Seen<'a> {
    fn add(&mut self, key: &'a SessionKey, session: &'a StoredSession, query: &Query<'_>) {
        let mut conversation = Conversation::default();
        let mut vectors = Vec::new();
        let found = session.entries().iter();
        let found = found.filter_map(|it| Some((it, Document::of(&it.entry.body)?)));
        for (position, (stored, document)) in (0..).zip(found) {
            let id = i64::try_from(stored.arrival).unwrap_or(i64::MAX);
            let words = document.words.len();
            let terms = query.terms_in(&document);
            conversation.words += words as u64;
            self.entries.insert(id, (key, stored));
            let words = u32::try_from(words).unwrap_or(u32::MAX);
            let asks = document.asks;
            let place = Place { id, position, words, asks, terms, closeness: None };
            conversation.places.push(place);
            vectors.extend(query.vector_of(stored).map(|values| Vector { position, values }));
        }
        self.compare(&mut conversation, &vectors, query);
        self.count(&conversation);
        self.conversations.push(conversation);
    }

    fn compare(&mut self, conversation: &mut Conversation, vectors: &[Vector], query: &Query<'_>) {
        let Some(vector) = query.vector else { return };
        let close = closeness(&vector.values, vectors);
        for (vector, close) in vectors.iter().zip(close) {
            // Places are numbered as they stand.
            let index = usize::try_from(vector.position).unwrap_or(usize::MAX);
            if let Some(place) = conversation.places.get_mut(index) {
                place.closeness = Some(close);
            }
            self.closeness = (self.closeness.0 + close, self.closeness.1 + 1);
        }
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

    fn vector_of(&self, stored: &Stored) -> Option<Vec<f32>> {
        let query = self.vector?;
        let (model, values) = stored.embedding.as_ref()?;
        let fits = *model == query.model && values.len() == query.values.len();
        fits.then(|| values.to_vec())
    }
}

impl State {
    pub(super) fn search(&self, owner: &Owner, search: &Search) -> Vec<Hit> {
        let words = query_words(&search.text);
        if words.is_empty() && search.vector.is_none() {
            return Vec::new();
        }
        let mut seen = Seen { terms: vec![Term::default(); words.len()], ..Seen::default() };
        let query = Query { words, vector: search.vector.as_ref() };
        for (key, session) in self.of_owner(owner) {
            seen.add(key, session, &query);
        }
        let (sum, count) = seen.closeness;
        seen.corpus.closeness = (0 < count).then(|| sum / count as f32);
        let ranked = rank(&seen.corpus, &seen.terms, &seen.conversations, search.limit);
        let hits = ranked.iter().filter_map(|it| {
            let (key, stored) = seen.entries.get(&it.id)?;
            let session = SessionKey::clone(key);
            Some(Hit { session, entry: stored.entry.clone(), score: it.score })
        });
        hits.collect()
    }

    pub(super) fn unembedded(&self, model: &str, limit: usize) -> Vec<Unembedded> {
        let mut found: Vec<(u64, Unembedded)> = Vec::new();
        for (key, session) in &self.sessions {
            for it in session.entries() {
                let known = it.embedding.as_ref().is_some_and(|(by, _)| by == model);
                if let Some(text) = text_of(&it.entry.body)
                    && !known
                {
                    let (session, seq) = (key.clone(), it.entry.seq);
                    found.push((it.arrival, Unembedded { session, seq, text }));
                }
            }
        }
        found.sort_unstable_by_key(|(arrival, _)| *arrival);
        found.into_iter().take(limit).map(|(_, it)| it).collect()
    }

    pub(super) fn keep_embeddings(&mut self, model: &str, embeddings: Vec<Embedded>) {
        for it in embeddings {
            let session = self.sessions.get_mut(&it.session);
            let stored = session.and_then(|session| session.stored_mut(it.seq));
            let stored = stored.filter(|it| it.entry.body.status != EntryStatus::Forgotten);
            if let Some(stored) = stored {
                stored.embedding = Some((model.to_owned(), Arc::clone(&it.values)));
            }
        }
    }
}
