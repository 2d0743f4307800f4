//! What each wire makes of a failure that comes before the answer.

use brain_core::llm::LlmErrorKind;
use serde_json::{Value, json};

use super::Wire;

/// A refusal as it is sent.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) retry_after: Option<u32>,
    pub(super) body: RefusalBody,
}

#[derive(Debug)]
pub(super) enum RefusalBody {
    Empty,
    Text(String),
    Json(Value),
}

impl Refusal {
    /// How the wire tells of this failure.
    pub(super) fn of(wire: Wire, kind: LlmErrorKind, message: &str) -> Self {
        let (status, r#type, code) = labels(kind);
        let body = match wire {
            Wire::OpenAi => RefusalBody::Json(openai(message, r#type, code)),
            Wire::Azure => RefusalBody::Json(azure(kind, status, message)),
            Wire::TabbyMl => RefusalBody::Empty,
            Wire::Ollama => RefusalBody::Json(json!({ "error": message })),
        };
        Self { status, retry_after: None, body }
    }

    /// The same with a status that was asked for.
    pub(super) fn by_status(wire: Wire, status: u16, retry_after: Option<u32>) -> Self {
        let kind = match status {
            401 | 403 => LlmErrorKind::Unauthorised,
            402 => LlmErrorKind::QuotaExceeded,
            404 => LlmErrorKind::ModelNotFound,
            429 => LlmErrorKind::RateLimited,
            503 => LlmErrorKind::Overloaded,
            500.. => LlmErrorKind::Unavailable,
            _ => LlmErrorKind::Rejected,
        };
        let message = match status {
            404 => "model 'mock' not found",
            429 => "Rate limit reached, slow down.",
            503 => "server busy, please try again.",
            _ => "The server had an error.",
        };
        Self { status, retry_after, ..Self::of(wire, kind, message) }
    }

    /// With a plain text, as frameworks answer on their own.
    pub(super) fn text(status: u16, text: &str) -> Self {
        Self { status, retry_after: None, body: RefusalBody::Text(text.to_owned()) }
    }

    /// With nothing but a status.
    pub(super) fn empty(status: u16) -> Self {
        Self { status, retry_after: None, body: RefusalBody::Empty }
    }

    pub(super) fn json(status: u16, body: Value) -> Self {
        Self { status, retry_after: None, body: RefusalBody::Json(body) }
    }
}

/// OpenAI's error.
pub(super) fn openai(message: &str, r#type: &str, code: Option<&str>) -> Value {
    json!({ "error": { "message": message, "type": r#type, "param": null, "code": code } })
}

/// Status, and OpenAI's type and code.
fn labels(kind: LlmErrorKind) -> (u16, &'static str, Option<&'static str>) {
    match kind {
        LlmErrorKind::RateLimited => (429, "requests", Some("rate_limit_exceeded")),
        LlmErrorKind::QuotaExceeded => (429, "insufficient_quota", Some("insufficient_quota")),
        LlmErrorKind::ContextOverflow => {
            (400, "invalid_request_error", Some("context_length_exceeded"))
        }
        LlmErrorKind::Unauthorised => (401, "invalid_request_error", Some("invalid_api_key")),
        LlmErrorKind::ModelNotFound => (404, "invalid_request_error", Some("model_not_found")),
        LlmErrorKind::Rejected => (400, "invalid_request_error", None),
        LlmErrorKind::Unsupported => (501, "not_supported_error", None),
        LlmErrorKind::Overloaded => {
            (503, "service_unavailable_error", Some("server_is_overloaded"))
        }
        LlmErrorKind::Unavailable
        | LlmErrorKind::Damaged
        | LlmErrorKind::Interrupted
        | LlmErrorKind::Protocol => (500, "server_error", None),
    }
}

/// Azure's error, which has neither type nor parameter; the prompt's filter speaks for itself.
fn azure(kind: LlmErrorKind, status: u16, message: &str) -> Value {
    let code = match kind {
        LlmErrorKind::ModelNotFound => "DeploymentNotFound".to_owned(),
        LlmErrorKind::ContextOverflow => "context_length_exceeded".to_owned(),
        LlmErrorKind::QuotaExceeded => "insufficient_quota".to_owned(),
        LlmErrorKind::Unsupported => "OperationNotSupported".to_owned(),
        LlmErrorKind::RateLimited
        | LlmErrorKind::Unauthorised
        | LlmErrorKind::Rejected
        | LlmErrorKind::Overloaded
        | LlmErrorKind::Unavailable
        | LlmErrorKind::Damaged
        | LlmErrorKind::Interrupted
        | LlmErrorKind::Protocol => status.to_string(),
    };
    json!({ "error": { "code": code, "message": message } })
}
