//! Searching memory by what a question says and, where a model embeds, by what it means.

use std::time::Duration;

use super::{Brain, Inner, background::within};
use crate::{
    ids::Owner,
    memory::{Hit, MemoryError, QueryVector, Search},
    recall,
};

/// How long a question may take to be embedded.
const EMBED_WITHIN: Duration = Duration::from_millis(300);
/// Most bytes of a question that are embedded; no model of embeddings reads more.
const MOST_EMBEDDED: usize = 4 * 1024;

impl Brain {
    /// At most `limit` entries of the owner's that fit `text` best, best first. A model that does
    /// not embed it in time makes this a search by words alone.
    ///
    /// # Errors
    ///
    /// When memory cannot be asked.
    pub async fn search(
        &self,
        owner: &Owner,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Hit>, MemoryError> {
        let vector = self.inner.vector_of(text).await;
        let search = Search { text: text.to_owned(), vector, limit };
        self.inner.ports.store.search(owner, &search).await
    }
}

impl Inner {
    /// What a question means; `None` where nothing can tell, or not in time.
    pub(super) async fn vector_of(&self, text: &str) -> Option<QueryVector> {
        let model = self.config.embedding_model.as_deref()?;
        let text = text.get(..text.floor_char_boundary(MOST_EMBEDDED)).unwrap_or_default();
        if text.trim().is_empty() {
            return None;
        }
        let asked = recall::query_vector(&*self.ports.llm, model, text);
        match within(self, EMBED_WITHIN, asked).await {
            Some(Ok(vector)) => Some(vector),
            Some(Err(error)) => {
                tracing::debug!(%error, "could not embed a question; searching by words alone");
                None
            }
            None => {
                tracing::debug!("a question was not embedded in time; searching by words alone");
                None
            }
        }
    }
}
