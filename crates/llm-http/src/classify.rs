//! From a status and an error body to the kind of failure a caller can act on.
//!
//! Pure, and made of what servers were seen to send; no provider is asked for by name.

use brain_core::llm::LlmErrorKind;
use http::StatusCode;

use crate::ErrorBody;

/// Codes and types of an account without credit: a retry will not help.
const QUOTA: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "spend_limit_exceeded",
    "usage_limit_exceeded",
    "billing_hard_limit_reached",
    "insufficient_balance",
];

const RATE: &[&str] = &["rate_limit", "slow_down", "too_many_requests"];

const OVERLOAD: &[&str] = &["overloaded", "queue full", "too many concurrent", "server busy"];

const CONTEXT_CODES: &[&str] =
    &["context_length_exceeded", "exceed_context_size", "context_window"];

/// Sentences of servers that have no code for it.
const CONTEXT_SENTENCES: &[&str] = &[
    "maximum context length",
    "context length",
    "context window",
    "context size",
    "prompt is too long",
    "input is too long",
    "prompt too long",
];

const MODEL_CODES: &[&str] =
    &["model_not_found", "deploymentnotfound", "model_not_available", "unknown_model"];

const MODEL_SENTENCES: &[&str] = &["no models loaded", "no such model", "unknown model"];

/// Codes of what a server or a model cannot do at all.
const UNSUPPORTED_CODES: &[&str] = &["operationnotsupported", "not_supported_error"];

/// Sentences of servers that lack a part or were started without it; another one may have it.
const UNSUPPORTED_SENTENCES: &[&str] = &[
    "not a chat model",
    "only supported in v1/responses",
    "tool choice requires",
    "requires --jinja",
    "does not support tools",
    "suffix is not currently supported",
];

const CREDENTIALS: &[&str] =
    &["invalid_api_key", "authentication_error", "permission_error", "unauthorized"];

/// Which kind of failure this is; `status` is `None` for an error inside a stream.
pub(crate) fn classify(status: Option<StatusCode>, body: &ErrorBody) -> LlmErrorKind {
    let said = Said::new(status, body);
    if said.is_quota() {
        LlmErrorKind::QuotaExceeded
    } else if said.is_context() {
        LlmErrorKind::ContextOverflow
    } else if said.is_unsupported() {
        LlmErrorKind::Unsupported
    } else if said.is_model() {
        LlmErrorKind::ModelNotFound
    } else if said.label(CREDENTIALS) {
        LlmErrorKind::Unauthorised
    } else if said.label(RATE) {
        LlmErrorKind::RateLimited
    } else if said.is_overload() {
        LlmErrorKind::Overloaded
    } else {
        said.by_status()
    }
}

/// What was said, in lower case.
struct Said {
    status: Option<u16>,
    /// Code and type.
    labels: String,
    message: String,
}

impl Said {
    fn new(status: Option<StatusCode>, body: &ErrorBody) -> Self {
        let code = body.code.as_deref().unwrap_or_default();
        let kind = body.kind.as_deref().unwrap_or_default();
        // Inside a stream a numeric code is the status that could no longer be sent.
        let status = match status {
            Some(status) if !status.is_success() => Some(status.as_u16()),
            Some(_) | None => code.parse().ok().filter(|code| (400..600).contains(code)),
        };
        let labels = format!("{code} {kind}").to_lowercase();
        Self { status, labels, message: body.message.to_lowercase() }
    }

    fn label(&self, any: &[&str]) -> bool {
        any.iter().any(|it| self.labels.contains(it))
    }

    fn says(&self, any: &[&str]) -> bool {
        any.iter().any(|it| self.message.contains(it))
    }

    fn is_quota(&self) -> bool {
        self.label(QUOTA) || self.status == Some(402)
    }

    fn is_context(&self) -> bool {
        let may_be = matches!(self.status, None | Some(400 | 413 | 422 | 500));
        self.label(CONTEXT_CODES) || (may_be && self.says(CONTEXT_SENTENCES))
    }

    fn is_unsupported(&self) -> bool {
        let may_be = matches!(self.status, None | Some(400 | 404 | 422 | 500 | 501));
        self.label(UNSUPPORTED_CODES) || (may_be && self.says(UNSUPPORTED_SENTENCES))
    }

    fn is_model(&self) -> bool {
        let absent = ["not found", "does not exist", "not exist", "no such"];
        let named = self.says(&["model"]) && self.says(&absent);
        self.label(MODEL_CODES)
            || self.says(MODEL_SENTENCES)
            || (matches!(self.status, None | Some(404)) && named)
    }

    fn is_overload(&self) -> bool {
        let may_be = matches!(self.status, None | Some(500..));
        self.status == Some(529) || (may_be && (self.label(OVERLOAD) || self.says(OVERLOAD)))
    }

    fn by_status(&self) -> LlmErrorKind {
        match self.status {
            Some(401 | 403) => LlmErrorKind::Unauthorised,
            Some(429) => LlmErrorKind::RateLimited,
            Some(501) => LlmErrorKind::Unsupported,
            Some(408 | 409 | 425 | 500..) => LlmErrorKind::Unavailable,
            Some(_) => LlmErrorKind::Rejected,
            None if self.label(&[
                "invalid_request",
                "badrequest",
                "not_found",
                "content_filter",
            ]) =>
            {
                LlmErrorKind::Rejected
            }
            None if self.says(&["unexpected endpoint"]) => LlmErrorKind::Rejected,
            None => LlmErrorKind::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use brain_core::llm::LlmErrorKind::{self, *};
    use http::StatusCode;

    use super::classify;
    use crate::ErrorBody;

    fn check(status: u16, body: &str, expected: LlmErrorKind) {
        let status = (status != 200).then(|| StatusCode::from_u16(status).unwrap());
        let kind = classify(status, &ErrorBody::read(body.as_bytes()));
        assert_eq!(kind, expected, "{status:?} {body}");
    }

    #[test]
    fn openai() {
        check(
            401,
            r#"{"error":{"message":"Incorrect API key","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            Unauthorised,
        );
        check(
            403,
            r#"{"error":{"message":"Country not supported","code":"unsupported_country"}}"#,
            Unauthorised,
        );
        check(
            404,
            r#"{"error":{"message":"No such model 'zz'.","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#,
            ModelNotFound,
        );
        check(
            429,
            r#"{"error":{"message":"Rate limit","type":"tokens","code":"rate_limit_exceeded"}}"#,
            RateLimited,
        );
        check(
            429,
            r#"{"error":{"message":"Quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            QuotaExceeded,
        );
        check(
            429,
            r#"{"error":{"message":"Spend","code":"project_spend_limit_exceeded"}}"#,
            QuotaExceeded,
        );
        check(
            429,
            r#"{"error":{"message":"Org","code":"organization_usage_limit_exceeded"}}"#,
            QuotaExceeded,
        );
        check(
            400,
            r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
            ContextOverflow,
        );
        check(
            400,
            r#"{"error":{"message":"bad","type":"invalid_request_error","param":"stop"}}"#,
            Rejected,
        );
        check(500, r#"{"error":{"message":"oops","type":"server_error"}}"#, Unavailable);
        check(
            503,
            r#"{"error":{"message":"busy","type":"service_unavailable_error","code":"server_is_overloaded"}}"#,
            Overloaded,
        );
        check(
            503,
            r#"{"error":{"message":"slow down","type":"rate_limit_error","code":"slow_down"}}"#,
            RateLimited,
        );
    }

    #[test]
    fn compatible_servers() {
        check(
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
            ContextOverflow,
        );
        check(
            503,
            r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            Unavailable,
        );
        check(
            400,
            r#"{"object":"error","message":"This model's maximum context length is 2048 tokens.","type":"BadRequestError","code":400}"#,
            ContextOverflow,
        );
        check(
            404,
            r#"{"error":{"message":"The model `x` does not exist.","type":"NotFoundError","code":404}}"#,
            ModelNotFound,
        );
        check(404, r#"{"error":"model \"x\" not found, try pulling it first"}"#, ModelNotFound);
        check(404, r#"{"error":{"code":"DeploymentNotFound","message":"no"}}"#, ModelNotFound);
        check(
            400,
            r#"{"error":{"message":"No models loaded. Please load one.","type":"invalid_request_error","param":"model"}}"#,
            ModelNotFound,
        );
        check(404, "404 page not found", Rejected);
        check(422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, Rejected);
        check(501, "", Unsupported);
        check(402, "", QuotaExceeded);
        check(413, "", Rejected);
        check(409, "", Unavailable);
        check(529, "", Overloaded);
        check(502, "<html>bad gateway</html>", Unavailable);
        check(301, "", Rejected);
    }

    #[test]
    fn what_a_server_cannot_do_is_unsupported() {
        // vLLM without its parser, llama.cpp without templates, or without the model's tokens.
        check(
            400,
            r#"{"error":{"message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","param":null,"code":400}}"#,
            Unsupported,
        );
        check(
            500,
            r#"{"error":{"code":500,"message":"tools param requires --jinja flag","type":"server_error"}}"#,
            Unsupported,
        );
        check(
            501,
            r#"{"error":{"code":501,"message":"Infill is not supported by this model: prefix token is missing.","type":"not_supported_error"}}"#,
            Unsupported,
        );
        // OpenAI's models of another API, and Azure's.
        check(
            404,
            r#"{"error":{"message":"This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?","type":"invalid_request_error","param":"model","code":null}}"#,
            Unsupported,
        );
        check(
            400,
            r#"{"error":{"code":"OperationNotSupported","message":"The chatCompletion operation does not work with the specified model, m. Please choose different model and try again."}}"#,
            Unsupported,
        );
    }

    #[test]
    fn azure() {
        check(
            401,
            r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}"#,
            Unauthorised,
        );
        check(
            404,
            r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
            ModelNotFound,
        );
        check(404, r#"{"error":{"code":"404","message":"Resource not found"}}"#, Rejected);
        check(
            429,
            r#"{"error":{"code":"429","message":"Requests have exceeded call rate limit. Please retry after 7 seconds."}}"#,
            RateLimited,
        );
        check(
            400,
            r#"{"error":{"message":"The response was filtered.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            Rejected,
        );
    }

    #[test]
    fn inside_a_stream_the_body_alone_decides() {
        check(200, r#"{"error":{"message":"m","type":"server_error"}}"#, Unavailable);
        check(200, r#"{"error":{"message":"m","code":400}}"#, Rejected);
        check(200, r#"{"error":{"message":"m","code":429}}"#, RateLimited);
        check(200, r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#, RateLimited);
        check(200, r#"{"error":"Unexpected endpoint or method. (POST /x)"}"#, Rejected);
        check(200, r#"{"error":"out of memory"}"#, Unavailable);
    }
}
