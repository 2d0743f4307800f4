//! Embedding what was said, so that it can be found by its meaning.
//!
//! It asks the store what has no embedding yet, a batch at a time; it keeps no list of its own.

use std::{sync::Arc, time::Duration};

use futures_util::future;

use super::{super::Inner, error::Failure, within};
use crate::{
    ids::{Seq, SessionKey},
    recall,
};

/// Texts that are embedded at once.
const BATCH: usize = 16;
/// How long a batch may take, though each of its texts be tried alone.
const DEADLINE: Duration = Duration::from_secs(180);
/// How often the store is asked although nothing was said here: others write too.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long a batch waits for turns to end, which may need the same processor.
const GIVE_WAY: Duration = Duration::from_secs(2);
/// The first wait after a failure; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(300);

/// Embeds whatever comes, for as long as it is polled.
pub(super) async fn run(inner: Arc<Inner>) {
    let Some(model) = inner.config.embedding_model.clone() else { return };
    let mut last = None;
    let mut retry = FIRST_RETRY;
    loop {
        let said = inner.background.said();
        let outcome = batch(&inner, &model, &mut last).await;
        match inner.background.embeddings.note("embed what was said", outcome) {
            Some(0) => {
                retry = FIRST_RETRY;
                future::select(said, inner.ports.clock.sleep(LOOK_EVERY)).await;
            }
            Some(_) => {
                retry = FIRST_RETRY;
                if inner.live.running_count() > 0 {
                    inner.wait_at_most(GIVE_WAY, inner.live.idle()).await;
                }
            }
            None => {
                inner.ports.clock.sleep(retry).await;
                retry = LAST_RETRY.min(retry * 2);
            }
        }
    }
}

/// Embeds one batch; returns how many texts that were. `last` is what the batch before began with.
async fn batch(
    inner: &Inner,
    model: &str,
    last: &mut Option<(SessionKey, Seq)>,
) -> Result<usize, Failure> {
    let store = &inner.ports.store;
    let due = store.unembedded(model, BATCH).await?;
    let first = due.first().map(|it| (it.session.clone(), it.seq));
    if first.is_some() && first == *last {
        *last = None;
        return Err(Failure::NotKept);
    }
    let count = due.len();
    if count > 0 {
        let embedded = recall::embed(&**store, &*inner.ports.llm, model, due);
        within(inner, DEADLINE, embedded).await.ok_or(Failure::Late)??;
    }
    *last = first;
    Ok(count)
}
