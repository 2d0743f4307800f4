//! The sentences of failures that only Ollama has; pure.
//!
//! All others are `llm-http`'s.

use brain_core::llm::{LlmError, LlmErrorKind};
use http::StatusCode;
use llm_http::{Endpoint, Refusal};

/// Most characters of a model's name in a sentence; names come from clients.
const MAX_NAME_CHARS: usize = 100;

/// What the registry says of a model that it does not have.
const UNKNOWN_TO_REGISTRY: &[&str] =
    &["file does not exist", "not found", "invalid model name", "invalid model path"];

/// Whether the server refused because it does not have the model; any other 404 is a wrong address.
pub(crate) fn is_missing(refusal: &Refusal) -> bool {
    refusal.status == Some(StatusCode::NOT_FOUND) && refusal.kind() == LlmErrorKind::ModelNotFound
}

/// The server refused.
pub(crate) fn refused(endpoint: &Endpoint, refusal: Refusal) -> LlmError {
    let host = endpoint.host();
    let said = &refusal.body.message;
    if refusal.status == Some(StatusCode::FORBIDDEN) && said.is_empty() {
        // Ollama says nothing to requests under a host name that it does not take for its own.
        let key = &endpoint.names().key;
        let message = format!(
            "{host} refuses the request with status 403; ask it as localhost or by its IP address, or \
             check {key} if it wants one"
        );
        return LlmError::new(LlmErrorKind::Unauthorised, message).with_source(refusal);
    }
    if said.contains("more system memory") {
        let message = format!("{host} has too little memory; choose a smaller model or num_ctx");
        return LlmError::new(LlmErrorKind::Unavailable, message)
            .with_advice(Some(false))
            .with_source(refusal);
    }
    endpoint.refused(refusal)
}

/// The server does not have the model, and it is not pulled.
pub(crate) fn missing(endpoint: &Endpoint, model: &str, refusal: Refusal) -> LlmError {
    let (host, model) = (endpoint.host(), shown(model));
    let message = format!("{host} does not have `{model}`; run `ollama pull {model}` there");
    LlmError::new(LlmErrorKind::ModelNotFound, message).with_source(refusal)
}

/// The server could not pull the model.
pub(crate) fn unpullable(endpoint: &Endpoint, model: &str, refusal: Refusal) -> LlmError {
    let (host, model) = (endpoint.host(), shown(model));
    let said = refusal.body.message.to_lowercase();
    if UNKNOWN_TO_REGISTRY.iter().any(|it| said.contains(it)) {
        let message = format!(
            "{host} does not have `{model}` and finds none to pull; check the model's name and tag"
        );
        return LlmError::new(LlmErrorKind::ModelNotFound, message).with_source(refusal);
    }
    if said.contains("no space left") {
        let message = format!("{host} has no room on its disk for `{model}`; make some");
        return LlmError::new(LlmErrorKind::Unavailable, message)
            .with_advice(Some(false))
            .with_source(refusal);
    }
    let error = endpoint.refused(refusal);
    let message = format!("`{model}` could not be pulled: {error}");
    error.reworded(message)
}

/// The pull ended before its end.
pub(crate) fn broken_pull(endpoint: &Endpoint, model: &str) -> LlmError {
    let (host, model) = (endpoint.host(), shown(model));
    let message = format!("{host} stopped pulling `{model}`; ask again, and it goes on from there");
    LlmError::new(LlmErrorKind::Interrupted, message)
}

/// The server read only part of the prompt.
pub(crate) fn cut(endpoint: &Endpoint, model: &str, count: u64, num_ctx: u32) -> LlmError {
    let (host, model) = (endpoint.host(), shown(model));
    let message = format!(
        "{host} cut the conversation to {count} tokens to fit the context of {num_ctx} that `{model}` \
         has, so the answer is not to all of it; shorten it or give the model a larger num_ctx"
    );
    LlmError::new(LlmErrorKind::ContextOverflow, message)
}

/// A model's name, bounded and harmless.
pub(crate) fn shown(model: &str) -> String {
    model.chars().map(|it| if it.is_control() { ' ' } else { it }).take(MAX_NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use brain_core::llm::{LlmError, LlmErrorKind};
    use http::{HeaderMap, StatusCode};
    use llm_http::{Endpoint, Refusal};

    use super::{is_missing, missing, refused, unpullable};

    fn endpoint() -> Endpoint {
        Endpoint::new("http://localhost:11434").unwrap()
    }

    fn refusal(status: u16, body: &str) -> Refusal {
        let status = StatusCode::from_u16(status).ok().filter(|it| !it.is_success());
        Refusal::new(&endpoint(), status, &HeaderMap::new(), body.as_bytes())
    }

    fn check(error: &LlmError, kind: LlmErrorKind, transient: bool, words: &str) {
        assert_eq!((error.kind(), error.is_transient()), (kind, transient), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().starts_with("localhost:11434 ") || words.starts_with('`'));
    }

    #[test]
    fn a_missing_model_is_told_from_a_wrong_address() {
        assert!(is_missing(&refusal(404, r#"{"error":"model 'x' not found"}"#)));
        let embed = r#"{"error":"model \"x\" not found, try pulling it first"}"#;
        assert!(is_missing(&refusal(404, embed)));
        assert!(!is_missing(&refusal(404, "404 page not found")));
        assert!(!is_missing(&refusal(500, r#"{"error":"model 'x' not found"}"#)));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let host = refused(&endpoint(), refusal(403, ""));
        check(&host, LlmErrorKind::Unauthorised, false, "as localhost");
        let body = r#"{"error":"model requires more system memory (9.1 GiB) than is available (3.9 GiB)"}"#;
        let memory = refused(&endpoint(), refusal(500, body));
        check(&memory, LlmErrorKind::Unavailable, false, "smaller model");
        let body =
            r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#;
        let busy = refused(&endpoint(), refusal(503, body));
        check(&busy, LlmErrorKind::Overloaded, true, "try again later");
        let body = r#"{"error":"the input length exceeds the context length"}"#;
        let long = refused(&endpoint(), refusal(400, body));
        check(&long, LlmErrorKind::ContextOverflow, false, "shorten it");
        let page = refused(&endpoint(), refusal(404, "404 page not found"));
        check(&page, LlmErrorKind::Rejected, false, "check that the base URL is right");
        let absent = missing(&endpoint(), "qwen3:8b", refusal(404, ""));
        check(&absent, LlmErrorKind::ModelNotFound, false, "ollama pull qwen3:8b");
    }

    #[test]
    fn failed_pulls_say_what_to_do() {
        let pull = |body: &str| unpullable(&endpoint(), "a\nb", refusal(200, body));
        let unknown = pull(r#"{"error":"pull model manifest: file does not exist"}"#);
        check(&unknown, LlmErrorKind::ModelNotFound, false, "`a b`");
        let full = pull(r#"{"error":"write /x: no space left on device"}"#);
        check(&full, LlmErrorKind::Unavailable, false, "make some");
        let offline = pull(r#"{"error":"pull model manifest: dial tcp: lookup failed"}"#);
        check(&offline, LlmErrorKind::Unavailable, true, "`a b` could not be pulled: localhost");
    }
}
