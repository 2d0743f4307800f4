//! Giving vectors to what has none yet: one step of background work. When it is done, and with
//! which model, is the caller's business.

use std::sync::Arc;

use crate::{
    llm::{EmbedRequest, LlmError, LlmErrorKind, LlmGateway},
    memory::{Embedded, MemoryError, QueryVector, Recall, Unembedded},
};

/// Most bytes of one text; no model reads more tokens than that.
const MOST_BYTES: usize = 8 * 1024;
/// So many of a text that the model refuses are tried again.
const FEW_BYTES: usize = 256;
/// Bytes that a token has at the most, usually.
const TOKEN_BYTES: usize = 4;
/// What stands for a text of which the model takes nothing.
const NOTHING: &str = "-";

/// Why a step of embedding failed; nothing is lost, and the next step begins where it did.
#[derive(Debug, thiserror::Error)]
pub enum EmbedFailure {
    /// The store could not say what to embed, or could not keep it.
    #[error("the memory failed while entries were embedded")]
    Memory(#[source] MemoryError),
    /// The model failed.
    #[error("the model could not embed")]
    Model(#[source] LlmError),
    /// The model gave another number of vectors than of texts, or a question's has no direction.
    #[error("the model answered with vectors that are none")]
    Malformed,
}

/// Embeds at most `limit` entries that `model` has not embedded, the oldest first; returns how
/// many there were. Fewer than `limit` means that none is left.
///
/// Dropping the future keeps nothing of the step.
///
/// # Errors
///
/// Whatever [`EmbedFailure`] says.
pub async fn embed_some<R: Recall + ?Sized>(
    memory: &R,
    gateway: &dyn LlmGateway,
    model: &str,
    limit: usize,
) -> Result<usize, EmbedFailure> {
    let due = memory.unembedded(model, limit).await.map_err(EmbedFailure::Memory)?;
    let count = due.len();
    if count > 0 {
        embed(memory, gateway, model, due).await?;
    }
    Ok(count)
}

/// Embeds these entries and keeps their vectors. Of a text that the model refuses, ever less is
/// tried, so that it keeps no other waiting.
///
/// Dropping the future keeps nothing of it.
///
/// # Errors
///
/// Whatever [`EmbedFailure`] says.
pub async fn embed<R: Recall + ?Sized>(
    memory: &R,
    gateway: &dyn LlmGateway,
    model: &str,
    due: Vec<Unembedded>,
) -> Result<(), EmbedFailure> {
    let context = gateway.capabilities(model).context_tokens;
    let most = |tokens: u32| (tokens as usize * TOKEN_BYTES).clamp(FEW_BYTES, MOST_BYTES);
    let most = context.map_or(MOST_BYTES, most);
    let texts: Vec<&str> = due.iter().map(|it| begin(&it.text, most)).collect();
    let vectors = match vectors(gateway, model, &texts).await {
        Err(EmbedFailure::Model(error)) if is_about_the_text(&error) => {
            let mut vectors = Vec::with_capacity(texts.len());
            for text in texts {
                vectors.push(alone(gateway, model, text).await?);
            }
            vectors
        }
        asked => asked?,
    };
    let embedded = due.into_iter().zip(vectors).map(|(it, vector)| Embedded {
        session: it.session,
        seq: it.seq,
        // One without a direction is like nothing, and stays so.
        values: unit(&vector).unwrap_or_else(|| vec![0.0; vector.len()].into()),
    });
    memory.keep_embeddings(model, embedded.collect()).await.map_err(EmbedFailure::Memory)
}

/// The vector of one text, or of as much of it as the model takes.
async fn alone(
    gateway: &dyn LlmGateway,
    model: &str,
    text: &str,
) -> Result<Vec<f32>, EmbedFailure> {
    for attempt in [text, begin(text, FEW_BYTES)] {
        match vector(gateway, model, attempt).await {
            Err(EmbedFailure::Model(error)) if is_about_the_text(&error) => {}
            asked => return asked,
        }
    }
    vector(gateway, model, NOTHING).await
}

fn begin(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

fn is_about_the_text(error: &LlmError) -> bool {
    match error.kind() {
        LlmErrorKind::Rejected | LlmErrorKind::ContextOverflow => true,
        LlmErrorKind::RateLimited
        | LlmErrorKind::QuotaExceeded
        | LlmErrorKind::Unauthorised
        | LlmErrorKind::Unavailable
        | LlmErrorKind::Overloaded
        | LlmErrorKind::Damaged
        | LlmErrorKind::Interrupted
        | LlmErrorKind::Protocol
        | LlmErrorKind::ModelNotFound
        | LlmErrorKind::Unsupported => false,
    }
}

/// The vector of a query, by the model that embedded the entries.
///
/// # Errors
///
/// [`EmbedFailure::Model`] and [`EmbedFailure::Malformed`].
pub async fn query_vector(
    gateway: &dyn LlmGateway,
    model: &str,
    text: &str,
) -> Result<QueryVector, EmbedFailure> {
    let values = unit(&vector(gateway, model, text).await?).ok_or(EmbedFailure::Malformed)?;
    Ok(QueryVector { model: model.to_owned(), values })
}

/// The vector of one text, of any length.
async fn vector(
    gateway: &dyn LlmGateway,
    model: &str,
    text: &str,
) -> Result<Vec<f32>, EmbedFailure> {
    vectors(gateway, model, &[text]).await?.pop().ok_or(EmbedFailure::Malformed)
}

/// A vector for each text, of any length.
async fn vectors(
    gateway: &dyn LlmGateway,
    model: &str,
    texts: &[&str],
) -> Result<Vec<Vec<f32>>, EmbedFailure> {
    let inputs = texts.iter().copied().map(str::to_owned).collect();
    let request = EmbedRequest { model: model.to_owned(), inputs };
    let vectors = gateway.embed(request).await.map_err(EmbedFailure::Model)?.vectors;
    if vectors.len() == texts.len() { Ok(vectors) } else { Err(EmbedFailure::Malformed) }
}

/// The vector of this direction and length one; `None` if it has no direction.
fn unit(vector: &[f32]) -> Option<Arc<[f32]>> {
    let length = vector.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
    length.is_normal().then(|| vector.iter().map(|it| (f64::from(*it) / length) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::unit;

    #[test]
    fn vectors_have_length_one_or_are_none() {
        assert_eq!(unit(&[3.0, 4.0]).as_deref(), Some(&[0.6, 0.8][..]));
        for bad in [vec![], vec![0.0], vec![f32::NAN], vec![f32::INFINITY]] {
            assert_eq!(unit(&bad), None);
        }
    }
}
