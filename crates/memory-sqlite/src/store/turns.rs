//! Turns, by the writer and the reader.

use std::time::Duration;

use async_trait::async_trait;
use brain_core::{
    ids::{IdempotencyKey, Owner, SessionKey, TurnId},
    memory::{
        Checkpoint, CloseTurn, Fence, MemoryError, OpenTurn, Opened, Signals, TurnIndex,
        TurnRecord, Turns,
    },
};
use rusqlite::Connection;

use super::{SqliteStore, bytes, ready};
use crate::turns;

#[async_trait]
impl Turns for SqliteStore {
    async fn open(&self, open: OpenTurn) -> Result<Opened, MemoryError> {
        const OPERATION: &str = "open the turn";
        let bytes = bytes(&open.append.drafts) + open.request.as_str().len();
        let ready = ready(OPERATION, open, |it| &it.append.drafts).await?;
        self.write(OPERATION, bytes, move |connection, now| turns::open(connection, &ready, now))
            .await
    }

    async fn take(&self, fence: Fence, lease: Duration) -> Result<TurnRecord, MemoryError> {
        self.write("take the turn", 0, move |connection, now| {
            turns::take(connection, fence, lease, now)
        })
        .await
    }

    async fn renew(&self, fence: Fence, lease: Duration) -> Result<Signals, MemoryError> {
        self.write("renew the lease", 0, move |connection, now| {
            turns::renew(connection, fence, lease, now)
        })
        .await
    }

    async fn checkpoint(&self, fence: Fence, checkpoint: Checkpoint) -> Result<(), MemoryError> {
        let calls = checkpoint
            .calls
            .iter()
            .map(|it| it.call.arguments.len() + it.result.as_ref().map_or(0, String::len));
        let bytes = checkpoint.text.len() + checkpoint.reasoning.len() + calls.sum::<usize>();
        self.write("keep the checkpoint", bytes, move |connection, _| {
            turns::checkpoint(connection, fence, &checkpoint)
        })
        .await
    }

    async fn close(&self, close: CloseTurn) -> Result<TurnRecord, MemoryError> {
        const OPERATION: &str = "end the turn";
        let bytes = bytes(&close.append.drafts);
        let ready = ready(OPERATION, close, |it| &it.append.drafts).await?;
        self.write(OPERATION, bytes, move |connection, now| turns::close(connection, &ready, now))
            .await
    }
}

#[async_trait]
impl TurnIndex for SqliteStore {
    async fn turn(&self, owner: &Owner, turn: TurnId) -> Result<Option<TurnRecord>, MemoryError> {
        let owner = owner.clone();
        let work = move |connection: &Connection| turns::of_owner(connection, &owner, turn);
        self.reader.run("read the turn", work).await
    }

    async fn turn_by_key(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let (owner, key, now) = (owner.clone(), key.clone(), self.clock.now());
        let work = move |connection: &Connection| turns::by_key(connection, &owner, &key, now);
        self.reader.run("find the turn", work).await
    }

    async fn request_cancel(
        &self,
        owner: &Owner,
        turn: TurnId,
    ) -> Result<Option<TurnRecord>, MemoryError> {
        let owner = owner.clone();
        self.write("cancel the turn", 0, move |connection, _| {
            turns::request_cancel(connection, &owner, turn)
        })
        .await
    }

    async fn unfinished(&self) -> Result<Vec<TurnRecord>, MemoryError> {
        self.reader.run("find unfinished turns", turns::unfinished).await
    }

    async fn lapsed(&self, limit: usize) -> Result<Vec<TurnRecord>, MemoryError> {
        let now = self.clock.now();
        let work = move |connection: &Connection| turns::lapsed(connection, limit, now);
        self.reader.run("find lapsed turns", work).await
    }

    async fn turns_of(&self, key: &SessionKey) -> Result<Vec<TurnRecord>, MemoryError> {
        let key = key.clone();
        let work = move |connection: &Connection| turns::of_session(connection, &key);
        self.reader.run("read the turns", work).await
    }
}
