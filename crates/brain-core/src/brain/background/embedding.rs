//! Embedding what was said, so that it can be found by its meaning.
//!
//! It asks the store what has no embedding yet, a batch at a time; it keeps no list of its own.

use std::{sync::Arc, time::Duration};

use futures_util::future;

use super::{super::Inner, error::Failure, within};
use crate::{
    ids::{Seq, SessionKey},
    llm::{EmbedRequest, LlmError, LlmErrorKind},
    memory::{Embedded, Unembedded},
};

/// Texts that are embedded at once.
const BATCH: usize = 16;
/// How long the model may take for a batch.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often the store is asked although nothing was said here: others write too.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long a batch waits for turns to end, which may need the same processor.
const GIVE_WAY: Duration = Duration::from_secs(2);
/// The first wait after a failure; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// Most bytes of one text; no model reads more tokens than that.
const MOST_BYTES: usize = 8 * 1024;
/// Bytes that a token has at the most, usually.
const TOKEN_BYTES: usize = 4;

/// Embeds whatever comes, for as long as it is polled.
pub(super) async fn run(inner: Arc<Inner>) {
    let Some(model) = inner.config.embedding_model.clone() else { return };
    let mut last = None;
    let mut retry = FIRST_RETRY;
    loop {
        let said = inner.background.said();
        let outcome = embed_some(&inner, &model, &mut last).await;
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
async fn embed_some(
    inner: &Inner,
    model: &str,
    last: &mut Option<(SessionKey, Seq)>,
) -> Result<usize, Failure> {
    let missing = inner.ports.store.unembedded(model, BATCH).await?;
    let first = missing.first().map(|it| (it.session.clone(), it.seq));
    if first.is_some() && first == *last {
        *last = None;
        return Err(Failure::NotKept);
    }
    let count = missing.len();
    if count > 0 {
        let embedded = embed(inner, model, missing).await?;
        inner.ports.store.keep_embeddings(model, embedded).await?;
    }
    *last = first;
    Ok(count)
}

async fn embed(
    inner: &Inner,
    model: &str,
    missing: Vec<Unembedded>,
) -> Result<Vec<Embedded>, Failure> {
    let context = inner.ports.llm.capabilities(model).context_tokens;
    let most = context.map_or(MOST_BYTES, |it| (it as usize * TOKEN_BYTES).clamp(256, MOST_BYTES));
    let inputs = missing.iter().map(|it| begin(&it.text, most)).collect();
    let vectors = match ask(inner, model, inputs).await {
        Err(Failure::Llm(error)) if is_about_the_text(&error) => {
            let mut vectors = Vec::with_capacity(missing.len());
            for it in &missing {
                vectors.push(embed_alone(inner, model, begin(&it.text, most)).await?);
            }
            vectors
        }
        asked => asked?,
    };
    let embedded = missing.into_iter().zip(vectors).map(|(it, vector)| Embedded {
        session: it.session,
        seq: it.seq,
        values: unit(&vector),
    });
    Ok(embedded.collect())
}

/// A text that the model refuses must not keep all others waiting: ever less of it is tried.
async fn embed_alone(inner: &Inner, model: &str, text: String) -> Result<Vec<f32>, Failure> {
    let shorter = begin(&text, 256);
    for attempt in [text, shorter] {
        match ask(inner, model, vec![attempt]).await {
            Err(Failure::Llm(error)) if is_about_the_text(&error) => {}
            asked => return Ok(asked?.into_iter().next().unwrap_or_default()),
        }
    }
    Ok(ask(inner, model, vec!["-".to_owned()]).await?.into_iter().next().unwrap_or_default())
}

/// One vector a text.
async fn ask(inner: &Inner, model: &str, inputs: Vec<String>) -> Result<Vec<Vec<f32>>, Failure> {
    let wanted = inputs.len();
    let request = EmbedRequest { model: model.to_owned(), inputs };
    let made = within(inner, DEADLINE, inner.ports.llm.embed(request)).await;
    let vectors = made.ok_or(Failure::Late)??.vectors;
    if vectors.len() == wanted { Ok(vectors) } else { Err(Failure::Empty) }
}

fn is_about_the_text(error: &LlmError) -> bool {
    match error.kind() {
        LlmErrorKind::Rejected | LlmErrorKind::ContextOverflow => true,
        LlmErrorKind::RateLimited { .. }
        | LlmErrorKind::QuotaExceeded
        | LlmErrorKind::Unauthorised
        | LlmErrorKind::Unavailable
        | LlmErrorKind::Overloaded
        | LlmErrorKind::Interrupted
        | LlmErrorKind::Protocol
        | LlmErrorKind::ModelNotFound
        | LlmErrorKind::Unsupported => false,
    }
}

fn begin(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned()
}

/// The vector at unit length; one without a direction is like nothing, and stays so.
fn unit(vector: &[f32]) -> Arc<[f32]> {
    let length = vector.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
    if !length.is_normal() {
        return vector.iter().map(|_| 0.).collect();
    }
    vector.iter().map(|it| (f64::from(*it) / length) as f32).collect()
}
