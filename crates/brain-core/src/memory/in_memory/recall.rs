//! Search in the reference store: it looks at every entry of the owner and leaves the ranking to
//! [`crate::recall`].

use std::{collections::HashMap, sync::Arc};

use super::{session::Stored, state::State};
use crate::{
    ids::{Owner, SessionKey},
    memory::{Embedded, EntryStatus, Hit, QueryVector, Search, Unembedded},
    recall::{Conversation, Document, Survey, Vector, query_words, text_of},
};

/// The vector of an entry, if the query's can be compared with it.
fn vector_of(stored: &Stored, query: &QueryVector) -> Option<Vec<f32>> {
    let (model, values) = stored.embedding.as_ref()?;
    let fits = *model == query.model && values.len() == query.values.len();
    fits.then(|| values.to_vec())
}

impl State {
    pub(super) fn search(&self, owner: &Owner, search: &Search) -> Vec<Hit> {
        let words = query_words(&search.text);
        if words.is_empty() && search.vector.is_none() {
            return Vec::new();
        }
        let mut survey = Survey::new(words.len());
        // By arrival, which names an entry among all.
        let mut seen = HashMap::new();
        for (key, session) in self.of_owner(owner) {
            let (mut conversation, mut vectors) = (Conversation::default(), Vec::new());
            let found = session.entries().iter();
            let found = found.filter_map(|it| Some((it, Document::of(&it.entry.body)?)));
            for (position, (stored, document)) in (0..).zip(found) {
                let id = i64::try_from(stored.arrival).unwrap_or(i64::MAX);
                conversation.push(id, &document, &words);
                seen.insert(id, (key, stored));
                let values = search.vector.as_ref().and_then(|it| vector_of(stored, it));
                vectors.extend(values.map(|values| Vector { position, values }));
            }
            if let Some(vector) = &search.vector {
                conversation.compare(&vector.values, &vectors);
            }
            survey.add(conversation);
        }
        let hits = survey.rank(search.limit).into_iter().filter_map(|it| {
            let (key, stored) = seen.get(&it.id)?;
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
