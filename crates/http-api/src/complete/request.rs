//! What a client may ask to be filled in, as it writes it.

use brain_core::{brain::ChatError, llm::CompletionRequest};
use serde::Deserialize;

use crate::{
    api::App,
    error::ApiError,
    fields::{check_model, check_stops},
};

/// Most bytes of the name of a language.
const MAX_LANGUAGE_BYTES: usize = 64;

/// The body of `POST /complete`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompleteBody {
    prefix: String,
    suffix: Option<String>,
    model: Option<String>,
    language: Option<String>,
    max_tokens: Option<u32>,
    stop: Option<Vec<String>>,
    pub(super) stream: Option<bool>,
}

/// A gap to fill.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: CompletionRequest,
}

impl CompleteBody {
    /// The request as a gateway takes it.
    pub(super) async fn read(self, app: &App) -> Result<Asked, ApiError> {
        let stop = self.stop.unwrap_or_default();
        let (prefix, suffix) = (self.prefix, self.suffix.unwrap_or_default());
        check_model(self.model.as_deref())?;
        check_stops("stop", &stop)?;
        if self.max_tokens == Some(0) {
            return Err(ApiError::invalid("`max_tokens` must be at least 1"));
        }
        if self.language.as_ref().is_some_and(|it| MAX_LANGUAGE_BYTES < it.len()) {
            let detail = format!("`language` must have at most {MAX_LANGUAGE_BYTES} bytes");
            return Err(ApiError::invalid(detail));
        }
        if prefix.is_empty() && suffix.is_empty() {
            return Err(ApiError::invalid("`prefix` is empty; send what stands before the gap"));
        }
        let (bytes, max_bytes) =
            (prefix.len() + suffix.len(), app.brain.config().limits.message_bytes);
        if max_bytes < bytes {
            return Err(ChatError::MessageTooLarge { bytes, max_bytes }.into());
        }
        let model = match self.model.filter(|it| !it.is_empty()) {
            Some(model) => model,
            None => app.brain.default_model().await,
        };
        let (language, max_tokens) = (self.language, self.max_tokens);
        let request = CompletionRequest { model, prefix, suffix, language, max_tokens, stop };
        Ok(Asked { request })
    }
}
