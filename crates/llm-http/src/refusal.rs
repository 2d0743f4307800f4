//! A server's answer that is an error.

use std::{fmt, time::Duration};

use brain_core::llm::LlmErrorKind;
use http::{HeaderMap, StatusCode};

use crate::{Endpoint, ErrorBody, classify::classify, retry_after::retry_after};

/// Most characters of the body, and of what it says, that are kept.
const MAX_CHARS: usize = 2_000;

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
        let shown = |text: &str| endpoint.redact(text).chars().take(MAX_CHARS).collect();
        let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
        Self {
            status,
            body: ErrorBody { message: shown(&read.message), ..read },
            retry_after: retry_after(headers),
            request_id: request_id.map(str::to_owned),
            raw: shown(&String::from_utf8_lossy(body)),
        }
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> LlmErrorKind {
        classify(self.status, &self.body, self.retry_after)
    }
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
    use http::{HeaderMap, header::AUTHORIZATION};

    use super::{MAX_CHARS, Refusal};
    use crate::Endpoint;

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
