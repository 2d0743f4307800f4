//! Vectors from the answer of `POST /embeddings`; pure.

use base64::{Engine, engine::general_purpose::STANDARD};
use brain_core::{
    chat::Usage,
    llm::{Embeddings, LlmError},
};
use llm_http::Endpoint;

use crate::{
    decode::usage,
    wire::{EmbeddingsResponse, WireVector},
};

/// The vectors of `count` inputs in their order.
///
/// # Errors
///
/// [`brain_core::llm::LlmErrorKind::Protocol`] when they are not `count` vectors of one length.
pub(crate) fn read(
    endpoint: &Endpoint,
    response: EmbeddingsResponse,
    count: usize,
) -> Result<Embeddings, LlmError> {
    let misspoke = || endpoint.misspoke("sent embeddings that do not match what was asked");
    let usage = response.usage.as_ref().and_then(usage).unwrap_or_default();
    let mut items: Vec<(usize, Vec<f32>)> = Vec::with_capacity(count);
    for (place, item) in response.data.into_iter().enumerate() {
        let vector = vector(item.embedding).ok_or_else(misspoke)?;
        items.push((item.index.unwrap_or(place), vector));
    }
    items.sort_by_key(|(index, _)| *index);
    let in_order = items.iter().map(|(index, _)| *index).eq(0..count);
    let vectors: Vec<Vec<f32>> = items.into_iter().map(|(_, vector)| vector).collect();
    let length = vectors.first().map_or(0, Vec::len);
    if !in_order || length == 0 || vectors.iter().any(|it| it.len() != length) {
        return Err(misspoke());
    }
    let usage = Usage { output_tokens: 0, ..usage };
    Ok(Embeddings { model: response.model.unwrap_or_default(), vectors, usage })
}

fn vector(wire: WireVector) -> Option<Vec<f32>> {
    match wire {
        WireVector::Floats(floats) => Some(floats),
        WireVector::Base64(text) => {
            let bytes = STANDARD.decode(text).ok()?;
            let (floats, rest) = bytes.as_chunks::<4>();
            rest.is_empty().then(|| floats.iter().map(|it| f32::from_le_bytes(*it)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use llm_http::Endpoint;

    use super::read;

    fn check(json: &str, expected: Option<&[&[f32]]>) {
        let endpoint = Endpoint::new("http://x").unwrap();
        let found = read(&endpoint, serde_json::from_str(json).unwrap(), 2).ok();
        let vectors = found.map(|it| it.vectors);
        assert_eq!(vectors, expected.map(|it| it.iter().map(|it| it.to_vec()).collect()), "{json}");
    }

    #[test]
    fn both_encodings_and_any_order() {
        let expected: &[&[f32]] = &[&[1.0, -2.0], &[0.5, 0.0]];
        check(
            r#"{"data":[{"index":1,"embedding":[0.5,0]},{"index":0,"embedding":[1,-2]}],"model":"m"}"#,
            Some(expected),
        );
        check(
            r#"{"data":[{"embedding":"AACAPwAAAMA="},{"embedding":"AAAAPwAAAAA="}]}"#,
            Some(expected),
        );
    }

    #[test]
    fn what_does_not_match_is_refused() {
        check(r#"{"data":[]}"#, None);
        check(r#"{"data":[{"embedding":[1]}]}"#, None);
        check(r#"{"data":[{"embedding":[1]},{"embedding":[1,2]}]}"#, None);
        check(r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#, None);
        check(r#"{"data":[{"embedding":"AACAPw=="},{"embedding":"AAAA"}]}"#, None);
        check(r#"{"data":[{"embedding":[]},{"embedding":[]}]}"#, None);
    }
}
