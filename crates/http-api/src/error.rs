//! One error for every route: a status, a stable code, a sentence that says what to do.
//!
//! It is made where something fails and rendered by the edge, which knows the request's id and
//! logs it once. What it says to the client holds no detail of what lies below; the source is for
//! the log.

mod mapping;

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use brain_core::BoxError;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

/// What tells that a request came before and was not done again.
pub(crate) const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));

/// A request could not be answered as it was asked.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    members: Map<String, Value>,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
    /// Whether whoever met the failure has logged it already.
    logged: bool,
    /// Whether it is what the request ended with when it came first.
    replayed: bool,
}

/// Most bytes of a sentence: what is quoted in it may be as long as a body.
const MAX_DETAIL: usize = 640;
/// How much of a longer sentence is kept, of its beginning and of its end.
const KEPT: (usize, usize) = (200, 320);

/// The body of an error: RFC 9457's problem details.
#[derive(Debug, Serialize)]
pub(crate) struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (code, detail) = (code.into(), cut(detail.into()));
        Self {
            status,
            code,
            detail,
            members: Map::new(),
            retry_after: None,
            source: None,
            logged: false,
            replayed: false,
        }
    }

    /// The client has to change what it asks.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    pub(crate) fn not_supported(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "not_supported", detail)
    }

    pub(crate) fn unknown_field(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unknown_field", detail)
    }

    pub(crate) fn invalid_json(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", detail)
    }

    pub(crate) fn too_large(max_bytes: usize) -> Self {
        let detail = format!(
            "the body has more than the {max_bytes} bytes that are allowed; send less, or have \
             MAX_BODY_BYTES set to more"
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    pub(crate) fn session_not_found() -> Self {
        let detail = "there is no such session; GET /memory/sessions lists those that there are";
        Self::new(StatusCode::NOT_FOUND, "session_not_found", detail)
    }

    pub(crate) fn memory_mismatch() -> Self {
        let detail = "`memory` is fixed when a session is made, and this one's is the other; leave \
                      `memory` out, or name another session";
        Self::new(StatusCode::CONFLICT, "memory_mismatch", detail)
    }

    pub(crate) fn turn_not_found() -> Self {
        let detail = "there is no such turn; its id is in the answer that POST /chat gave";
        Self::new(StatusCode::NOT_FOUND, "turn_not_found", detail)
    }

    pub(crate) fn route_not_found() -> Self {
        let detail = "there is nothing at this path; docs/API.md lists the routes";
        Self::new(StatusCode::NOT_FOUND, "route_not_found", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "this path takes other methods; the Allow header names them";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    /// There is too much to do already; the client has to come back.
    pub(crate) fn overloaded(detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
            .with_retry_after(Duration::from_secs(1))
    }

    /// Something of ours broke; the log says what.
    pub(crate) fn internal() -> Self {
        let detail = "an internal error; the log names it by this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// The same with another sentence.
    pub(crate) fn with_detail(self, detail: String) -> Self {
        Self { detail: cut(detail.into()), ..self }
    }

    /// One member more in the problem's body.
    pub(crate) fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same, for a failure that is in the log already.
    pub(crate) fn logged(mut self) -> Self {
        self.logged = true;
        self
    }

    /// The same, for a request that came before and is not done again.
    pub(crate) fn replayed(mut self, replayed: bool) -> Self {
        self.replayed = replayed;
        self
    }

    /// The word for programs.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn problem<'a>(&'a self, request_id: &'a str) -> Problem<'a> {
        Problem {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: &self.code,
            request_id,
            members: &self.members,
        }
    }

    /// The headers that the problem's body goes with.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1000).max(1);
            headers.extend(
                HeaderValue::try_from(seconds.to_string()).map(|it| (header::RETRY_AFTER, it)),
            );
        }
        if self.replayed {
            headers.insert(REPLAYED.0, REPLAYED.1);
        }
        headers
    }

    /// Writes it to the log, with what lies below: loud if the fault is ours, less so if there is
    /// only too much to do.
    pub(crate) fn log(&self) {
        let (code, detail) = (&*self.code, &*self.detail);
        let source = self.source.as_ref().map(|it| chain(&**it));
        let is_load = self.status == StatusCode::SERVICE_UNAVAILABLE && source.is_none();
        if !self.status.is_server_error() || self.logged {
            tracing::debug!(code, source, "{detail}");
        } else if is_load {
            tracing::warn!(code, "{detail}");
        } else {
            tracing::error!(code, source, "{detail}");
        }
    }
}

/// A sentence without its middle, where that quotes too much.
fn cut(detail: Cow<'static, str>) -> Cow<'static, str> {
    if detail.len() <= MAX_DETAIL {
        return detail;
    }
    let (start, end) = detail.split_at(detail.floor_char_boundary(KEPT.0));
    let end = end.split_at(end.ceil_char_boundary(end.len() - KEPT.1)).1;
    format!("{start} […] {end}").into()
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl IntoResponse for ApiError {
    /// A response without a body: [`crate::edge::pass`] writes it, which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiError, MAX_DETAIL};

    #[test]
    fn long_sentences_lose_their_middle() {
        let whole = "é".repeat(MAX_DETAIL / 2);
        assert_eq!(ApiError::invalid(whole.clone()).detail(), whole);
        for quoted in ["z".repeat(5_000_000), "日".repeat(1_000), "é".repeat(MAX_DETAIL)] {
            let error = ApiError::invalid(format!("unknown `{quoted}`, expected `a`"));
            assert!(error.detail().len() < MAX_DETAIL, "{}", error.detail().len());
            assert!(error.detail().starts_with("unknown `") && error.detail().contains(" […] "));
            assert!(error.detail().ends_with("`, expected `a`"));
            assert!(error.with_detail(quoted).detail().len() < MAX_DETAIL);
        }
    }
}
