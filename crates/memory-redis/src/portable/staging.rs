//! A session that is put together beside what is there, in pieces; it decides nothing.
//!
//! It is a hash of its own on the session's node. Nobody reads it before it takes the session's
//! place, in one script that looks whether the session is still what it was put together by. Who
//! begins last has it: whoever began before finds that out with the next piece, and gives up. It
//! ends a minute after its last piece, so that a crash leaves nothing for long, and it goes with
//! the session when that is forgotten.

use std::time::Duration;

use brain_core::{
    ids::{SessionKey, Token},
    memory::{MemoryError, MemoryErrorKind},
};
use redis::Value;

use super::{Field, PIECE, PIECE_BYTES, RESTORE};
use crate::{
    reply::Reply,
    scripts,
    store::{Change, Committed, RedisStore, millis},
};

/// How long it is kept after its last piece.
const LIFE: Duration = Duration::from_secs(60);

/// A session that this restore puts together.
pub(super) struct Staging<'a> {
    store: &'a RedisStore,
    session: Vec<u8>,
    staged: Vec<u8>,
    /// Who puts it together.
    by: Vec<u8>,
}

fn lost() -> MemoryError {
    MemoryError::new(RESTORE, MemoryErrorKind::Unavailable).with_source(
        "what was put together of the session is gone: it is forgotten, or restored by somebody \
         else at the same time",
    )
}

impl<'a> Staging<'a> {
    /// An empty one.
    pub(super) async fn begin(
        store: &'a RedisStore,
        key: &SessionKey,
    ) -> Result<Self, MemoryError> {
        let by = Token::random().to_string().into_bytes();
        let (session, staged) = (store.keys.session(key), store.keys.staged(key));
        let begun = Self { store, session, staged, by };
        let (keys, args) = ([begun.staged.clone()], begun.args());
        store.pool.script(RESTORE, &scripts::STAGE, &keys, args, true).await?;
        Ok(begun)
    }

    fn args(&self) -> Vec<Vec<u8>> {
        vec![self.by.clone(), millis(LIFE)]
    }

    /// Copies all fields of the session.
    pub(super) async fn carry(&self) -> Result<(), MemoryError> {
        let keys = [self.session.clone(), self.staged.clone()];
        let mut cursor = "0".to_owned();
        loop {
            let mut args = self.args();
            let enough = [cursor, PIECE.to_string(), PIECE_BYTES.to_string()];
            args.extend(enough.map(String::into_bytes));
            let next = self.store.pool.script(RESTORE, &scripts::CARRY, &keys, args, true).await?;
            cursor = Reply(RESTORE).optional_text(next)?.ok_or_else(lost)?;
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// Sets fields.
    pub(super) async fn put(&self, piece: Vec<Field>) -> Result<(), MemoryError> {
        let (keys, mut args) = ([self.staged.clone()], self.args());
        args.extend(piece.into_iter().flat_map(|(field, value)| [field, value]));
        match self.store.pool.script(RESTORE, &scripts::PUT, &keys, args, true).await? {
            Value::Int(1) => Ok(()),
            _ => Err(lost()),
        }
    }

    /// Makes it the session with these changes, if the session is as the guards say, and if it has
    /// all fields of the session and those that were `put`.
    pub(super) async fn reveal(
        &self,
        change: Change,
        put: usize,
    ) -> Result<Committed, MemoryError> {
        let keys = [self.session.clone(), self.staged.clone()];
        let mut args = vec![self.store.ttl(), self.by.clone(), put.to_string().into_bytes()];
        args.extend(change.into_args());
        match self.store.pool.script(RESTORE, &scripts::REVEAL, &keys, args, true).await? {
            Value::Int(1) => Ok(Committed::Yes),
            Value::Int(0) => Ok(Committed::Changed),
            _ => Err(lost()),
        }
    }

    /// Drops it, if it is still this one; if that fails, it ends by itself.
    pub(super) async fn abandon(self) {
        let keys = [self.staged];
        let dropped =
            self.store.pool.script(RESTORE, &scripts::ABANDON, &keys, vec![self.by], true).await;
        if let Err(error) = dropped {
            tracing::debug!(%error, "left what was put together of a session");
        }
    }
}
