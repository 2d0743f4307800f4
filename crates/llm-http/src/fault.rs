//! The sentences in which failures at an endpoint are told.
//!
//! Each names the host, says what happened and what to do, and holds no key. The details for the
//! log are the error's source.

use std::{error::Error, io, time::Duration};

use brain_core::{
    BoxError,
    llm::{LlmError, LlmErrorKind},
};

use crate::{Endpoint, Refusal, connect::ProxyFailed, transport::SendError};

/// Most characters of the server's own words in a sentence of ours.
const MAX_QUOTE_CHARS: usize = 300;

impl Endpoint {
    /// The server refused.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> LlmError {
        self.refused_as(refusal.kind(), refusal)
    }

    /// The server refused, and the caller knows better which kind that is.
    #[must_use]
    pub fn refused_as(&self, kind: LlmErrorKind, refusal: Refusal) -> LlmError {
        let (what, advice) = telling(kind, &refusal);
        let quote = quote(&refusal.body.message);
        let message = format!("{} {what}{quote}; {advice}", self.host());
        LlmError::new(kind, message)
            .with_retry_after(refusal.retry_after)
            .with_advice(refusal.advice(kind))
            .with_source(refusal)
    }

    /// The answer broke off.
    #[must_use]
    pub fn interrupted(&self) -> LlmError {
        let message = format!("{} broke the answer off before its end; ask again", self.host());
        LlmError::new(LlmErrorKind::Interrupted, message)
    }

    /// The server sent something that is not what was asked for; `what` says what.
    #[must_use]
    pub fn misspoke(&self, what: &str) -> LlmError {
        let message = format!("{} {what}; check that the base URL is right", self.host());
        LlmError::new(LlmErrorKind::Protocol, message)
    }

    /// The server was silent for `waited`, after having begun to answer or before.
    pub(crate) fn silent(&self, waited: Duration, begun: bool) -> LlmError {
        let kind = if begun { LlmErrorKind::Interrupted } else { LlmErrorKind::Unavailable };
        let message = format!(
            "{} sent nothing for {} s; try again, or allow it more time",
            self.host(),
            waited.as_secs_f64()
        );
        LlmError::new(kind, message)
    }

    /// The connection failed while an answer was read.
    pub(crate) fn cut(&self, begun: bool, source: impl Into<BoxError>) -> LlmError {
        let error = if begun { self.interrupted() } else { self.lost() };
        error.with_source(source)
    }

    /// No connection came about, or it failed before an answer began.
    pub(crate) fn unreachable(&self, error: SendError) -> LlmError {
        let source = match error {
            SendError::Connect(source) => source,
            SendError::Lost(source) => return self.lost().with_source(source),
        };
        let host = self.host();
        let message = match connect_fault(source.as_ref()) {
            ConnectFault::Proxy(proxy) => format!(
                "the proxy {proxy} does not lead to {host}; check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"
            ),
            ConnectFault::Refused => {
                format!(
                    "{host} refuses connections; check that the server runs and the base URL is right"
                )
            }
            ConnectFault::TimedOut => {
                format!("{host} does not answer; check the network and that the base URL is right")
            }
            ConnectFault::NoSuchHost => {
                format!("{host} was not found; check the network and that the base URL is right")
            }
            ConnectFault::Tls => format!(
                "no secure connection to {host}; check whether the base URL wants http or https, and its certificate"
            ),
            ConnectFault::Other => {
                format!(
                    "{host} cannot be reached; check the network and that the base URL is right"
                )
            }
        };
        LlmError::new(LlmErrorKind::Unavailable, message).with_source(source)
    }

    fn lost(&self) -> LlmError {
        let message = format!("{} closed the connection without an answer; try again", self.host());
        LlmError::new(LlmErrorKind::Unavailable, message)
    }
}

/// What happened and what to do about it.
fn telling(kind: LlmErrorKind, refusal: &Refusal) -> (String, String) {
    let (what, advice) = match kind {
        LlmErrorKind::RateLimited => {
            let advice = refusal.retry_after.map_or_else(
                || "try again later".to_owned(),
                |hint| format!("try again in {} s", hint.as_secs_f64().ceil()),
            );
            return ("limits how often it is asked".to_owned(), advice);
        }
        LlmErrorKind::QuotaExceeded => {
            ("has no credit left for this account", "add credit or use another provider")
        }
        LlmErrorKind::ContextOverflow => {
            ("finds the conversation too long for the model", "shorten it or use another model")
        }
        LlmErrorKind::Unauthorised => ("refused the credentials", "check the API key"),
        LlmErrorKind::ModelNotFound => ("does not have this model", "choose one that it lists"),
        LlmErrorKind::Rejected => return rejected(refusal),
        LlmErrorKind::Unsupported => ("cannot do this", "use another provider or model"),
        LlmErrorKind::Overloaded => ("is overloaded", "try again later"),
        LlmErrorKind::Unavailable => ("failed", "try again later"),
        LlmErrorKind::Damaged => ("has a damaged model", "use another model"),
        LlmErrorKind::Interrupted => ("broke the answer off", "ask again"),
        LlmErrorKind::Protocol => {
            ("answered in an unknown way", "check that the base URL is right")
        }
    };
    (what.to_owned(), advice.to_owned())
}

fn rejected(refusal: &Refusal) -> (String, String) {
    let status = refusal.status.map_or(0, |status| status.as_u16());
    let address = matches!(status, 300..400 | 404 | 405);
    let advice = match status {
        407 => "the proxy on the way wants a user name and password; check HTTP_PROXY",
        _ if address => "check that the base URL is right",
        _ => "change the request",
    };
    let what = match status {
        0 => "rejected the request".to_owned(),
        status => format!("rejected the request with status {status}"),
    };
    (what, advice.to_owned())
}

/// The server's words on one line, bounded; empty when it said nothing.
fn quote(message: &str) -> String {
    let words: Vec<&str> =
        message.split(|it: char| it.is_whitespace() || it.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches(['.', ';', ' ']);
    let mut quoted: String = line.chars().take(MAX_QUOTE_CHARS).collect();
    if quoted.len() < line.len() {
        quoted.push('…');
    }
    if quoted.is_empty() { quoted } else { format!(": {quoted}") }
}

enum ConnectFault {
    /// The proxy with this host is to blame.
    Proxy(String),
    Refused,
    TimedOut,
    NoSuchHost,
    Tls,
    Other,
}

/// Looks through the chain of sources for what people can act on.
fn connect_fault(error: &(dyn Error + 'static)) -> ConnectFault {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(failed) = error.downcast_ref::<ProxyFailed>() {
            return ConnectFault::Proxy(failed.proxy.clone());
        }
        let io = error.downcast_ref::<io::Error>();
        match io.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return ConnectFault::Refused,
            Some(io::ErrorKind::TimedOut) => return ConnectFault::TimedOut,
            _ if error.is::<rustls::Error>() => return ConnectFault::Tls,
            _ if error.to_string() == "dns error" => return ConnectFault::NoSuchHost,
            _ => {}
        }
        // The source of an I/O error is its inner error's source; the inner error counts too.
        let inner = io.and_then(io::Error::get_ref).map(|inner| inner as &(dyn Error + 'static));
        next = inner.or_else(|| error.source());
    }
    ConnectFault::Other
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, header::AUTHORIZATION};

    use crate::{Endpoint, Refusal};

    fn check(status: u16, body: &str, expected: &str) {
        let endpoint = Endpoint::new("http://localhost:1/v1")
            .and_then(|it| it.with_secret_header(AUTHORIZATION, "Bearer hunter2"))
            .unwrap();
        let headers =
            HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static("1.2"))]);
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal::new(&endpoint, Some(status), &headers, body.as_bytes());
        let error = endpoint.refused(refusal);
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn sentences_name_the_host_and_say_what_to_do() {
        check(
            401,
            r#"{"error":{"message":"no such key: hunter2."}}"#,
            "localhost:1 refused the credentials: no such key: [redacted]; check the API key",
        );
        check(429, "", "localhost:1 limits how often it is asked; try again in 2 s");
        check(
            404,
            "404 page not found\n",
            "localhost:1 rejected the request with status 404: 404 page not found; check that the base URL is right",
        );
        check(
            400,
            "{\"error\":\"two\\nlines\\u0000\"}",
            "localhost:1 rejected the request with status 400: two lines; change the request",
        );
        let long = format!("localhost:1 failed: {}…; try again later", "x".repeat(300));
        check(500, &"x".repeat(400), &long);
    }
}
