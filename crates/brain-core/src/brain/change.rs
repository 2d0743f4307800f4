//! Changing a session at a place where no turn may be at work: moving its head, and forgetting one
//! entry.
//!
//! Whether a turn is open is the store's to say, in the same step. Here it is found out which one
//! that is, and one that nobody drives any more is ended.

use std::sync::Arc;

use super::{ChangeError, Inner, recovery};
use crate::{
    ids::{Seq, SessionKey, Token},
    memory::{Forgotten, MemoryError, MemoryErrorKind, Session, TurnRecord, TurnState},
};

/// How often a change is tried: the turn in its way may end meanwhile, or have ended long ago.
const TRIES: usize = 2;

/// Erases what one entry says.
pub(super) async fn forget_entry(
    inner: &Arc<Inner>,
    key: &SessionKey,
    seq: Seq,
) -> Result<Forgotten, ChangeError> {
    let forgotten = unhindered(inner, key, || inner.ports.store.forget_entry(key, seq)).await?;
    inner.live.forget(key);
    Ok(forgotten)
}

/// Chooses the entry after which the next message goes.
pub(super) async fn move_head(
    inner: &Arc<Inner>,
    key: &SessionKey,
    expect: Token,
    head: Option<Seq>,
) -> Result<Session, ChangeError> {
    unhindered(inner, key, || inner.ports.store.move_head(key, expect, head)).await
}

/// Makes the change, and tells the turn that is in its way from any other conflict.
async fn unhindered<T, F: Future<Output = Result<T, MemoryError>>>(
    inner: &Arc<Inner>,
    key: &SessionKey,
    change: impl Fn() -> F,
) -> Result<T, ChangeError> {
    let mut tries = 1;
    loop {
        let error = match change().await {
            Err(error) if error.kind() == MemoryErrorKind::Conflict => error,
            done => return Ok(done?),
        };
        match open_turn(inner, key).await? {
            // Whether its lease has lapsed is for the store's clock to say.
            Some(turn) if tries < TRIES && turn.state == TurnState::Running => {
                recovery::end_lapsed(inner, &turn).await?;
            }
            Some(turn) => {
                let left = turn.lease_until.map(|it| it.since(inner.ports.clock.now()));
                return Err(ChangeError::TurnInProgress { turn: turn.id, lease_left: left });
            }
            None if tries < TRIES => {}
            None => return Err(error.into()),
        }
        tries += 1;
    }
}

/// The open turn of a session, as it is stored.
async fn open_turn(inner: &Inner, key: &SessionKey) -> Result<Option<TurnRecord>, MemoryError> {
    let unfinished = inner.ports.store.unfinished().await?;
    Ok(unfinished.into_iter().find(|it| it.session == *key))
}
