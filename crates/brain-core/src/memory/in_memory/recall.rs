//! Search in the reference store: it looks at one entry after the other.

use std::{cmp::Reverse, sync::Arc};

use super::state::State;
use crate::{
    chat::Message,
    ids::Owner,
    memory::{Embedded, EntryStatus, Hit, Search, Unembedded},
};

impl State {
    pub(super) fn search(&self, owner: &Owner, search: &Search) -> Vec<Hit> {
        let words: Vec<String> = search.text.split_whitespace().map(str::to_lowercase).collect();
        if words.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<(u64, Hit)> = Vec::new();
        for (key, session) in self.of_owner(owner) {
            for it in session.entries().iter().filter(|it| holds(&it.entry.body.message, &words)) {
                let hit = Hit { session: key.clone(), entry: it.entry.clone(), score: 1.0 };
                found.push((it.arrival, hit));
            }
        }
        found.sort_unstable_by_key(|(arrival, _)| Reverse(*arrival));
        found.into_iter().take(search.limit).map(|(_, hit)| hit).collect()
    }

    pub(super) fn unembedded(&self, model: &str, limit: usize) -> Vec<Unembedded> {
        let mut found: Vec<(u64, Unembedded)> = Vec::new();
        for (key, session) in &self.sessions {
            for it in session.entries() {
                let text = it.entry.body.message.joined_text();
                let known = it.embedding.as_ref().is_some_and(|(by, _)| by == model);
                let says_something = match it.entry.body.status {
                    EntryStatus::Complete | EntryStatus::Interrupted => !text.is_empty(),
                    EntryStatus::Failed | EntryStatus::Forgotten => false,
                };
                if !known && says_something {
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

fn holds(message: &Message, words: &[String]) -> bool {
    let text = message.joined_text().to_lowercase();
    words.iter().all(|word| text.contains(word))
}
