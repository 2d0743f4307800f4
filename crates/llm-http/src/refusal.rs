//! A server's answer that is an error.

use std::{fmt, time::Duration};

use brain_core::llm::LlmErrorKind;
use http::{HeaderMap, StatusCode};

use crate::{Endpoint, ErrorBody, classify::classify, retry_after::retry_after};

/// Most characters of the body, and of what it says, that are kept.
const MAX_CHARS: usize = 2_000;

/// Most characters of a code, a type, a field's name or a request id.
const MAX_LABEL_CHARS: usize = 200;

/// A server answered with an error, by its status or inside a stream.
///
/// `Display` and `Debug` are for the log; they hold no key.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// `None` for an error inside a stream.
    pub status: Option<StatusCode>,
    /// What the server said, without keys.
    pub body: ErrorBody,
    /// When to ask again, where the server said so.
    pub retry_after: Option<Duration>,
    /// What `x-should-retry` says.
    should_retry: Option<bool>,
    request_id: Option<String>,
    raw: String,
}

impl Refusal {
    /// The refusal that `body` states inside a stream.
    #[must_use]
    pub fn in_stream(endpoint: &Endpoint, body: &[u8]) -> Self {
        Self::new(endpoint, None, &HeaderMap::new(), body)
    }

    /// The refusal that an answer with this status, these headers and this body states.
    #[must_use]
    pub fn new(
        endpoint: &Endpoint,
        status: Option<StatusCode>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let read = ErrorBody::read(body);
        // Cut last: half a key would not be found.
        let shown = |text: &str, limit| harmless(&endpoint.redact(text)).take(limit).collect();
        let label = |text: Option<String>| text.map(|it| shown(&it, MAX_LABEL_CHARS));
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            status,
            body: ErrorBody {
                message: shown(&read.message, MAX_CHARS),
                kind: label(read.kind),
                code: label(read.code),
                param: label(read.param),
            },
            retry_after: retry_after(headers),
            should_retry: header("x-should-retry").and_then(|it| it.parse().ok()),
            request_id: label(header("x-request-id").map(str::to_owned)),
            raw: shown(&String::from_utf8_lossy(body), MAX_CHARS),
        }
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> LlmErrorKind {
        classify(self.status, &self.body)
    }

    /// Whether the server says that another try may succeed; an account without credit or with
    /// wrong credentials stays one, whatever is said.
    pub(crate) fn advice(&self, kind: LlmErrorKind) -> Option<bool> {
        let final_ = matches!(kind, LlmErrorKind::QuotaExceeded | LlmErrorKind::Unauthorised);
        self.should_retry.filter(|again| !(*again && final_))
    }
}

/// The text without what could steer a terminal, forge a line of a log or turn the words after it
/// around: control characters and marks of direction become spaces.
fn harmless(text: &str) -> impl Iterator<Item = char> {
    let steers = |it: char| {
        let direction = matches!(it, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        it.is_control() || direction || matches!(it, '\u{2028}' | '\u{2029}')
    };
    text.chars().map(move |it| if steers(it) { ' ' } else { it })
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "HTTP {}", status.as_u16())?,
            None => f.write_str("error in the stream")?,
        }
        if let Some(id) = &self.request_id {
            write!(f, ", request id {id}")?;
        }
        write!(f, ": {}", self.raw)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

    use super::{MAX_CHARS, MAX_LABEL_CHARS, Refusal};
    use crate::Endpoint;

    #[test]
    fn the_servers_words_are_bounded_and_harmless() {
        let endpoint = Endpoint::new("http://x").unwrap();
        let long = "x".repeat(10_000);
        let steering = "\\u001b[31m\\u202eevil\\u2028\\n";
        let words = format!("{steering}{long}");
        let body = format!(
            r#"{{"error":{{"message":"{words}","type":"{words}","code":"{words}","param":"{words}"}}}}"#
        );
        let id = HeaderValue::from_str(&long).unwrap();
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-request-id"), id)]);
        let refusal = Refusal::new(&endpoint, None, &headers, body.as_bytes());
        let said = &refusal.body;
        let labels = [&said.kind, &said.code, &said.param, &refusal.request_id];
        for label in labels.map(|it| it.as_deref().unwrap()) {
            assert_eq!(label.chars().count(), MAX_LABEL_CHARS);
        }
        assert_eq!(said.message.chars().count(), MAX_CHARS);
        assert!(said.message.starts_with(" [31m evil  xxx"), "{}", said.message);
        let raw = Refusal::new(&endpoint, None, &headers, "a\u{1b}[2J\r\nb\u{202E}c".as_bytes());
        for shown in [refusal.to_string(), raw.to_string()] {
            assert!(!shown.chars().any(|it| it.is_control() || it == '\u{202E}'), "{shown:?}");
        }
    }

    #[test]
    fn a_key_at_the_cut_is_not_shown_in_part() {
        let endpoint = Endpoint::new("http://x")
            .and_then(|it| it.with_secret_header(AUTHORIZATION, "Bearer hunter2hunter2"))
            .unwrap();
        for visible in 1..13 {
            let text = "x".repeat(MAX_CHARS - visible - 1);
            let body = format!("{text} hunter2hunter2");
            let refusal = Refusal::new(&endpoint, None, &HeaderMap::new(), body.as_bytes());
            assert!(!format!("{refusal} {refusal:?}").contains(" h"), "{visible}");
        }
    }
}
