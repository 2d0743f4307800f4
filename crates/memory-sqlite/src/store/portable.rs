//! Moving sessions out and in, by connections and transactions of their own.

use std::sync::Arc;

use async_trait::async_trait;
use brain_core::{
    ids::{Owner, SessionKey},
    memory::{ExportPart, ExportedSession, MemoryError, Portable, Restored, TurnRecord},
};
use futures_util::stream::BoxStream;

use super::SqliteStore;
use crate::{export, restore::Restore};

#[async_trait]
impl Portable for SqliteStore {
    async fn export(
        &self,
        owner: &Owner,
    ) -> Result<BoxStream<'static, Result<ExportPart, MemoryError>>, MemoryError> {
        let (reader, owner) = (self.reader.clone(), owner.clone());
        let folder = self.spool_folder.clone();
        let spool = move || export::lay_aside(&reader.apart()?, &owner, &folder);
        self.exports.run(spool).await
    }

    async fn restore(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
    ) -> Result<Restored, MemoryError> {
        self.move_in(key, session, &[]).await
    }

    async fn move_in(
        &self,
        key: &SessionKey,
        session: &ExportedSession,
        turns: &[TurnRecord],
    ) -> Result<Restored, MemoryError> {
        let (import, turns) = (Arc::new(session.clone()), turns.into());
        let restore = Restore { key: key.clone(), import, turns };
        restore.run(&self.reader, &self.writer).await
    }
}
