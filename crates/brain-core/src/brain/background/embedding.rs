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

/// How it has gone so far.
struct Course {
    /// What the last batch began with.
    first: Option<(SessionKey, Seq)>,
    /// How many batches before it began with the same.
    repeats: u32,
    /// Texts of the next batch.
    size: usize,
}

/// Embeds whatever comes, for as long as it is polled.
pub(super) async fn run(inner: Arc<Inner>) {
    let Some(model) = inner.config.embedding_model.clone() else { return };
    let mut course = Course { first: None, repeats: 0, size: BATCH };
    let mut retry = FIRST_RETRY;
    loop {
        let said = inner.background.said();
        let outcome = batch(&inner, &model, &mut course).await;
        if outcome.is_ok() && course.repeats == 0 {
            retry = FIRST_RETRY;
        }
        match inner.background.embeddings.note("embed what was said", outcome) {
            Some(0) => {
                future::select(said, inner.ports.clock.sleep(LOOK_EVERY)).await;
            }
            Some(_) => {
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

/// Embeds one batch; returns how many texts that were. One that comes again is a failure every
/// other time, so that it is tried again, but ever more seldom.
async fn batch(inner: &Inner, model: &str, course: &mut Course) -> Result<usize, Failure> {
    let store = &inner.ports.store;
    let due = store.unembedded(model, course.size).await?;
    let first = due.first().map(|it| (it.session.clone(), it.seq));
    course.repeats = if first.is_some() && first == course.first { course.repeats + 1 } else { 0 };
    course.first = first;
    if course.repeats % 2 == 1 {
        return Err(Failure::NotKept);
    }
    let count = due.len();
    if count > 0 {
        let embedded = recall::embed(&**store, &*inner.ports.llm, model, due);
        let Some(embedded) = within(inner, DEADLINE, embedded).await else {
            course.size = (course.size / 2).max(1);
            return Err(Failure::Late);
        };
        embedded?;
        course.size = BATCH;
    }
    Ok(count)
}
