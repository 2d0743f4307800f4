//! Vectors from the answer of `POST /api/embed`; pure.

use brain_core::{
    chat::Usage,
    llm::{Embeddings, LlmError},
};
use llm_http::Endpoint;

use crate::wire::EmbedResponse;

/// The vectors of `count` inputs in their order.
///
/// # Errors
///
/// [`brain_core::llm::LlmErrorKind::Protocol`] when they are not `count` vectors of one length.
pub(crate) fn read(
    endpoint: &Endpoint,
    model: &str,
    response: EmbedResponse,
    count: usize,
) -> Result<Embeddings, LlmError> {
    let vectors = response.embeddings.unwrap_or_default();
    let length = vectors.first().map_or(0, Vec::len);
    let is_sound = |it: &Vec<f32>| it.len() == length && it.iter().all(|it| it.is_finite());
    if vectors.len() != count || length == 0 || !vectors.iter().all(is_sound) {
        return Err(endpoint.misspoke("sent embeddings that do not match what was asked"));
    }
    let input_tokens = response.prompt_eval_count.unwrap_or(0);
    let usage = Usage { input_tokens, ..Usage::default() };
    Ok(Embeddings { model: model.to_owned(), vectors, usage })
}

#[cfg(test)]
mod tests {
    use llm_http::Endpoint;

    use super::read;

    fn check(json: &str, expected: Option<&[&[f32]]>) {
        let endpoint = Endpoint::new("http://x").unwrap();
        let found = read(&endpoint, "m", serde_json::from_str(json).unwrap(), 2).ok();
        let vectors = found.map(|it| it.vectors);
        assert_eq!(vectors, expected.map(|it| it.iter().map(|it| it.to_vec()).collect()), "{json}");
    }

    #[test]
    fn what_does_not_match_is_refused() {
        check(r#"{"embeddings":[[1,-2],[0.5,0]]}"#, Some(&[&[1.0, -2.0], &[0.5, 0.0]]));
        check(r#"{"embeddings":[]}"#, None);
        check("{}", None);
        check(r#"{"embeddings":[[1]]}"#, None);
        check(r#"{"embeddings":[[1],[1,2]]}"#, None);
        check(r#"{"embeddings":[[],[]]}"#, None);
        check(r#"{"embeddings":[["a"],[1]]}"#, None);
        check(r#"{"embedding":[1,2]}"#, None);
    }
}
