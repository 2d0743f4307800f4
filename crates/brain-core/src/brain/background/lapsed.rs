//! Ending turns whose holders are gone, so that what they came to is seen before anybody asks.
//!
//! Whoever opens a turn in such a session ends them too, and so does a process that starts and has
//! the storage for itself. This is for storage that several processes share.

use std::{sync::Arc, time::Duration};

use super::{
    super::{Inner, recovery},
    error::Failure,
};

/// How often it is looked for such turns.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Turns that are ended at once.
const BATCH: usize = 64;

/// Looks now and then, for as long as it is polled.
pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        inner.ports.clock.sleep(LOOK_EVERY).await;
        let outcome = sweep(&inner).await;
        inner.background.lapsed.note("end turns that nobody drives", outcome);
    }
}

async fn sweep(inner: &Arc<Inner>) -> Result<(), Failure> {
    let mut outcome = Ok(());
    for turn in inner.ports.store.lapsed(BATCH).await? {
        // Its own task knows best what becomes of it.
        if turn.holder == inner.holder {
            continue;
        }
        match recovery::end_lapsed(inner, &turn).await {
            Ok(()) => tracing::info!(turn.id = %turn.id, "ended a turn that nobody drove"),
            // What hinders one turn must not keep all others.
            Err(error) => outcome = Err(error.into()),
        }
    }
    outcome
}
