//! Forgetting by age: sessions that nobody went on with for as long as the operator says, and the
//! records of turns that ended long ago.

use std::{sync::Arc, time::Duration};

use super::{super::Inner, error::Failure};
use crate::{
    ids::SessionKey,
    memory::{Forget, MemoryError, MemoryErrorKind},
    time::Timestamp,
};

/// How often it is looked for what is too old.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long the process runs before it looks first.
const LOOK_FIRST: Duration = Duration::from_secs(60);
/// How long the record of a turn stays after its end.
const KEEP_TURNS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Sessions that are asked for at once.
const BATCH: usize = 64;

/// Looks now and then, for as long as it is polled.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut wait = LOOK_FIRST;
    loop {
        inner.ports.clock.sleep(wait).await;
        wait = LOOK_EVERY;
        let outcome = sweep(&inner).await;
        inner.background.retention.note("forget what is too old", outcome);
    }
}

async fn sweep(inner: &Arc<Inner>) -> Result<(), Failure> {
    let pruned = inner.ports.store.prune_turns(before(inner, KEEP_TURNS)).await?;
    let mut forgotten = 0;
    if let Some(retention) = inner.config.retention {
        forgotten = forget_since(inner, before(inner, retention)).await?;
    }
    if forgotten > 0 || pruned > 0 {
        tracing::info!(sessions = forgotten, turns = pruned, "what was too old is forgotten");
    }
    Ok(())
}

fn before(inner: &Inner, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(inner.ports.clock.now().as_millis().saturating_sub(age))
}

/// Forgets the sessions that have not changed since `before`; returns how many that were.
async fn forget_since(inner: &Arc<Inner>, before: Timestamp) -> Result<usize, Failure> {
    let (mut forgotten, mut last) = (0, Vec::new());
    loop {
        let idle = inner.ports.store.idle_since(before, BATCH).await?;
        // A store that goes on naming what is gone must not keep this going.
        if idle == last {
            return Ok(forgotten);
        }
        let mut done = 0;
        for key in &idle {
            match forget(inner, key, before).await {
                Ok(is_forgotten) => done += usize::from(is_forgotten),
                // What hinders one session must not keep all others.
                Err(error) => tracing::warn!(%error, "a session that is too old stays for now"),
            }
        }
        forgotten += done;
        if idle.len() < BATCH || done == 0 {
            return Ok(forgotten);
        }
        last = idle;
    }
}

/// Forgets a session unless somebody has just come back to it.
async fn forget(inner: &Inner, key: &SessionKey, before: Timestamp) -> Result<bool, MemoryError> {
    match inner.ports.store.forget(key, Forget::IfIdleSince(before)).await {
        Err(error) if error.kind() == MemoryErrorKind::Conflict => return Ok(false),
        forgotten @ (Ok(_) | Err(_)) => forgotten?,
    };
    inner.live.forget(key);
    Ok(true)
}
