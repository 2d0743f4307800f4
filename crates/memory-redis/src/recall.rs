//! Search by walking over what the owner has: Redis has no index of words, and keeps no embeddings.

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, Seq, SessionKey},
    memory::{Embedded, Hit, MemoryError, Recall, Search, Unembedded},
};

use crate::{branch, catalog::Side, store::RedisStore};

#[async_trait]
impl Recall for RedisStore {
    async fn search(&self, owner: &Owner, search: &Search) -> Result<Vec<Hit>, MemoryError> {
        let words: Vec<String> = search.text.split_whitespace().map(str::to_lowercase).collect();
        let mut hits = Vec::new();
        if words.is_empty() {
            return Ok(hits);
        }
        for session in self.page(owner, Side::Newest, 1000).await? {
            let key = SessionKey::new(owner.clone(), session.id);
            for entry in branch::scan(self, &key, Seq(0), usize::MAX).await?.into_iter().rev() {
                let text = entry.body.message.joined_text().to_lowercase();
                if words.iter().all(|it| text.contains(it)) {
                    hits.push(Hit { session: key.clone(), entry, score: 1.0 });
                }
            }
        }
        hits.truncate(search.limit);
        Ok(hits)
    }

    async fn unembedded(&self, _: &str, _: usize) -> Result<Vec<Unembedded>, MemoryError> {
        Ok(Vec::new())
    }

    async fn keep_embeddings(&self, _: &str, _: Vec<Embedded>) -> Result<(), MemoryError> {
        Ok(())
    }
}
