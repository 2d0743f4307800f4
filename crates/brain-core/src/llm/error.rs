//! Why a model call failed.

use std::time::Duration;

use crate::BoxError;

/// A model call failed.
///
/// `Display` is one sentence that may be shown to the client: it says what is wrong and what to
/// do, and holds no secret. The source is for the log.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct LlmError {
    kind: LlmErrorKind,
    message: String,
    retry_after: Option<Duration>,
    may_retry: Option<bool>,
    is_unbilled: bool,
    #[source]
    source: Option<BoxError>,
}

/// Why a model call failed, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlmErrorKind {
    /// The provider limits how often it is asked.
    RateLimited,
    /// The account has no credit left; a retry will not help.
    QuotaExceeded,
    /// The conversation is too long for the model.
    ContextOverflow,
    /// The credentials were refused.
    Unauthorised,
    /// The provider does not know the model.
    ModelNotFound,
    /// The request is wrong; a retry will not help.
    Rejected,
    /// The gateway cannot do this at all.
    Unsupported,
    /// Too many requests wait for the model already.
    Overloaded,
    /// The provider cannot be reached now.
    Unavailable,
    /// The model's own file is damaged, or is none.
    Damaged,
    /// The answer broke off.
    Interrupted,
    /// The provider spoke a protocol the adapter does not know.
    Protocol,
}

impl LlmErrorKind {
    /// A stable code for clients and logs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::RateLimited => "provider_rate_limited",
            Self::QuotaExceeded => "provider_quota_exceeded",
            Self::ContextOverflow => "context_length_exceeded",
            Self::Unauthorised => "provider_unauthorised",
            Self::ModelNotFound => "model_not_found",
            Self::Rejected => "provider_rejected",
            Self::Unsupported => "unsupported",
            Self::Overloaded => "provider_overloaded",
            Self::Unavailable => "provider_unavailable",
            Self::Damaged => "model_damaged",
            Self::Interrupted => "provider_interrupted",
            Self::Protocol => "provider_protocol",
        }
    }
}

impl LlmError {
    /// A failure; `message` is one sentence for the client that says what to do.
    #[must_use]
    pub fn new(kind: LlmErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message, retry_after: None, may_retry: None, is_unbilled: false, source: None }
    }

    /// Says how long the provider asked to wait; `None` changes nothing.
    #[must_use]
    pub fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after.or(self.retry_after);
        self
    }

    /// Says that the provider itself told whether to ask again, as `x-should-retry` does; this
    /// outranks the kind. `None` changes nothing.
    #[must_use]
    pub fn with_advice(mut self, may_retry: Option<bool>) -> Self {
        self.may_retry = may_retry.or(self.may_retry);
        self
    }

    /// Says that the provider certainly did no work for this call, as where no connection came about:
    /// it can have billed nothing.
    #[must_use]
    pub fn as_unbilled(mut self) -> Self {
        self.is_unbilled = true;
        self
    }

    /// Puts it in other words; all else stays as it is, the source too.
    #[must_use]
    pub fn reworded(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// What [`complete_text`](super::LlmGateway::complete_text) answers where a model, or the default
    /// one where the name is empty, has no such thing.
    #[must_use]
    pub fn fills_no_gaps(model: &str) -> Self {
        let model = if model.is_empty() { "the default model" } else { model };
        let message = format!("{model} fills no gaps; choose a model whose `completion` is true");
        Self::new(LlmErrorKind::Unsupported, message)
    }

    /// Attaches the driver's error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can branch on.
    #[must_use]
    pub fn kind(&self) -> LlmErrorKind {
        self.kind
    }

    /// How long the provider asked to wait before the next call.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the provider certainly did no work for this call.
    #[must_use]
    pub fn is_unbilled(&self) -> bool {
        self.is_unbilled
    }

    /// Whether trying the same call again may succeed: what the provider said, else by the kind.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.may_retry.unwrap_or_else(|| self.kind.is_transient())
    }
}

impl LlmErrorKind {
    fn is_transient(self) -> bool {
        match self {
            Self::RateLimited | Self::Overloaded | Self::Unavailable | Self::Interrupted => true,
            Self::QuotaExceeded
            | Self::ContextOverflow
            | Self::Unauthorised
            | Self::ModelNotFound
            | Self::Rejected
            | Self::Unsupported
            | Self::Damaged
            | Self::Protocol => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LlmError, LlmErrorKind};

    #[test]
    fn display_leaves_the_source_out() {
        let error = LlmError::new(LlmErrorKind::Protocol, "no JSON came").with_source("raw detail");
        assert_eq!(error.to_string(), "no JSON came");
        assert!(std::error::Error::source(&error).is_some());
    }
}
