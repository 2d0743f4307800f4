//! Recalling: what was said elsewhere, or long ago, that may help to answer.
//!
//! It searches and stores nothing. A memory that is slow or fails costs the turn a moment and never
//! its answer; the report says so.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{super::background::within, Driver};
use crate::{
    chat::Role,
    ids::SessionId,
    memory::{Entry, EntryStatus, Hit, MemoryError, Search},
    window::{RecallState, Recollection},
};

/// How long memory may take to be searched.
const SEARCH_WITHIN: Duration = Duration::from_millis(500);
/// Entries that are asked for.
const MOST_HITS: usize = 16;
/// Entries that are offered to the window.
const MOST_RECALLED: usize = 8;
/// Most bytes of the question that are searched by.
const MOST_ASKED: usize = 4 * 1024;

impl Driver {
    /// Searches the owner's memory for what the user asks, if the session wants that.
    pub(super) async fn recall(&mut self) {
        let Some(question) = self.question().filter(|_| self.recall) else { return };
        let text = question.body.message.joined_text();
        let text = text.get(..text.floor_char_boundary(MOST_ASKED)).unwrap_or_default().to_owned();
        if text.trim().is_empty() {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let vector = inner.vector_of(&text).await;
        let has_meaning = vector.is_some();
        let search = Search { text, vector, limit: MOST_HITS };
        let state = match within(&inner, SEARCH_WITHIN, self.recollections(&search)).await {
            Some(Ok(found)) => {
                self.recalled = found;
                if has_meaning { RecallState::WordsAndMeaning } else { RecallState::WordsOnly }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "could not search memory; the answer does without");
                RecallState::Failed
            }
            None => {
                tracing::warn!("memory was not searched in time; the answer does without");
                RecallState::Failed
            }
        };
        self.recall_state = Some(state);
    }

    /// What the user asks.
    fn question(&self) -> Option<&Entry> {
        self.branch.iter().rfind(|it| it.body.message.role == Role::User)
    }

    /// What is found, with the titles of its sessions, without what the turn was asked just now.
    async fn recollections(&self, search: &Search) -> Result<Vec<Recollection>, MemoryError> {
        let (store, here) = (&self.inner.ports.store, &self.record.session);
        let asked_at = self.question().map(|it| it.seq);
        let hits = store.search(&here.owner, search).await?;
        let is_useful = |hit: &&Hit| {
            let is_whole =
                matches!(hit.entry.body.status, EntryStatus::Complete | EntryStatus::Interrupted);
            is_whole && !(hit.session == *here && Some(hit.entry.seq) == asked_at)
        };
        let mut titles: HashMap<SessionId, Option<String>> = HashMap::new();
        let mut found = Vec::new();
        for hit in hits.iter().filter(is_useful).take(MOST_RECALLED) {
            let session_id = hit.session.id.clone();
            let is_here = hit.session == *here;
            if !is_here && !titles.contains_key(&session_id) {
                // One that has expired, or cannot be asked for, has no title to show.
                let session = store.session(&hit.session).await.unwrap_or_default();
                titles.insert(session_id.clone(), session.and_then(|it| it.title));
            }
            let title = titles.get(&session_id).cloned().flatten();
            found.push(Recollection { session_id, title, is_here, entry: hit.entry.clone() });
        }
        Ok(found)
    }
}
