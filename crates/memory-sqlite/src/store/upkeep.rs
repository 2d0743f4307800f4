//! What background work asks, by the writer and the reader.

use std::sync::Arc;

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, SessionKey},
    memory::{Catalog, ListOptions, MemoryError, Session, Upkeep},
    time::Timestamp,
};
use rusqlite::Connection;

use super::SqliteStore;
use crate::{tombstones, upkeep};

#[async_trait]
impl Upkeep for SqliteStore {
    async fn named(
        &self,
        owner: &Owner,
        options: ListOptions,
    ) -> Result<Vec<Session>, MemoryError> {
        self.list(owner, options).await
    }

    async fn idle_since(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<SessionKey>, MemoryError> {
        let work = move |connection: &Connection| upkeep::idle_since(connection, before, limit);
        self.reader.run("find idle sessions", work).await
    }

    async fn prune_turns(&self, before: Timestamp) -> Result<u64, MemoryError> {
        let mut dropped = 0;
        loop {
            let some = self.write("drop old turns", 0, move |connection, now| {
                tombstones::expire(connection, now)?;
                upkeep::prune_turns(connection, before)
            });
            let some = some.await?;
            dropped += some as u64;
            if some < upkeep::TURNS {
                return Ok(dropped);
            }
        }
    }

    async fn unsettled(&self, limit: usize) -> Result<Vec<SessionKey>, MemoryError> {
        let work = move |connection: &Connection| tombstones::unsettled(connection, limit);
        self.reader.run("find forgotten sessions", work).await
    }

    async fn settle(&self, key: &SessionKey) -> Result<(), MemoryError> {
        let (key, flags) = (key.clone(), Arc::clone(self.writer.flags()));
        self.write("settle a forgotten session", 0, move |connection, _| {
            // Its name leaves the files too.
            flags.ask_for_chores();
            tombstones::settle(connection, &key)
        })
        .await
    }

    async fn pending(&self, key: &SessionKey) -> Result<u64, MemoryError> {
        let key = key.clone();
        let work = move |connection: &Connection| tombstones::pending(connection, &key);
        self.reader.run("look for what is not erased", work).await
    }
}
