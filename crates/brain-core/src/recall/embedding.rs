//! Giving vectors to what has none yet: one step of background work. When it is done, and with
//! which model, is the caller's business.

use std::sync::Arc;

use crate::{
    llm::{EmbedRequest, LlmError, LlmGateway},
    memory::{Embedded, MemoryError, QueryVector, Recall},
};

/// Why a step of embedding failed; nothing is lost, and the next step begins where it did.
#[derive(Debug, thiserror::Error)]
pub enum EmbedFailure {
    /// The store could not say what to embed, or could not keep it.
    #[error("the memory failed while entries were embedded")]
    Memory(#[source] MemoryError),
    /// The model failed.
    #[error("the model could not embed")]
    Model(#[source] LlmError),
    /// The model gave another number of vectors than of texts, or one without a direction.
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
    if due.is_empty() {
        return Ok(0);
    }
    let (places, texts): (Vec<_>, Vec<_>) =
        due.into_iter().map(|it| ((it.session, it.seq), it.text)).unzip();
    let vectors = vectors(gateway, model, texts).await?;
    let count = places.len();
    let embedded = places.into_iter().zip(vectors);
    let embedded =
        embedded.map(|((session, seq), values)| Embedded { session, seq, values }).collect();
    memory.keep_embeddings(model, embedded).await.map_err(EmbedFailure::Memory)?;
    Ok(count)
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
    let mut vectors = vectors(gateway, model, vec![text.to_owned()]).await?;
    let values = vectors.pop().ok_or(EmbedFailure::Malformed)?;
    Ok(QueryVector { model: model.to_owned(), values })
}

/// A vector of unit length for each text.
async fn vectors(
    gateway: &dyn LlmGateway,
    model: &str,
    inputs: Vec<String>,
) -> Result<Vec<Arc<[f32]>>, EmbedFailure> {
    let count = inputs.len();
    let request = EmbedRequest { model: model.to_owned(), inputs };
    let answer = gateway.embed(request).await.map_err(EmbedFailure::Model)?;
    let vectors: Option<Vec<_>> = answer.vectors.into_iter().map(unit).collect();
    vectors.filter(|it| it.len() == count).ok_or(EmbedFailure::Malformed)
}

/// The vector of this direction and length one; `None` if it has no direction.
fn unit(vector: Vec<f32>) -> Option<Arc<[f32]>> {
    let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    let has_direction = length.is_finite() && 0.0 < length;
    has_direction.then(|| vector.into_iter().map(|it| it / length).collect())
}

#[cfg(test)]
mod tests {
    use super::unit;

    #[test]
    fn vectors_have_length_one_or_are_none() {
        assert_eq!(unit(vec![3.0, 4.0]).as_deref(), Some(&[0.6, 0.8][..]));
        for bad in [vec![], vec![0.0], vec![f32::NAN], vec![f32::INFINITY]] {
            assert_eq!(unit(bad), None);
        }
    }
}
