//! The sentences in which failures at an endpoint are told.
//!
//! Each names the host, says what happened and what to do, and holds no key. The details for the
//! log are the error's source.

use std::{error::Error, io, time::Duration};

use brain_core::{
    BoxError,
    llm::{LlmError, LlmErrorKind},
};
use http::StatusCode;

use crate::{Endpoint, Names, Refusal, connect::ProxyFailed, transport::SendError};

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
        let (what, advice) = self.telling(kind, &refusal);
        let quote = quote(&refusal.body.message);
        let message = format!("{} {what}{quote}; {advice}", self.host());
        let turned_away = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        let is_unbilled = refusal.status.is_some_and(|status| turned_away.contains(&status));
        let error = LlmError::new(kind, message)
            .with_retry_after(refusal.retry_after)
            .with_advice(refusal.advice(kind))
            .with_source(refusal);
        if is_unbilled { error.as_unbilled() } else { error }
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
        let message = format!("{} {what}; check that {} is right", self.host(), self.names().url);
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
        let url = &self.names().url;
        let message = match connect_fault(source.as_ref()) {
            ConnectFault::Proxy(proxy) => format!(
                "the proxy {proxy} does not lead to {host}; check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"
            ),
            ConnectFault::Refused => {
                format!("{host} refuses connections; check that the server runs and {url} is right")
            }
            ConnectFault::TimedOut => {
                format!("{host} does not answer; check the network and that {url} is right")
            }
            ConnectFault::NoSuchHost => {
                format!("{host} was not found; check the network and that {url} is right")
            }
            ConnectFault::Tls => format!(
                "no secure connection to {host}; check whether {url} wants http or https, and its certificate"
            ),
            ConnectFault::Other => {
                format!("{host} cannot be reached; check the network and that {url} is right")
            }
        };
        LlmError::new(LlmErrorKind::Unavailable, message).with_source(source).as_unbilled()
    }

    /// What happened and what to do about it.
    fn telling(&self, kind: LlmErrorKind, refusal: &Refusal) -> (String, String) {
        let names = self.names();
        let (what, advice) = match kind {
            LlmErrorKind::RateLimited => ("limits how often it is asked", later(refusal)),
            LlmErrorKind::QuotaExceeded => (
                "has no credit left for this account",
                "add credit or use another provider".to_owned(),
            ),
            LlmErrorKind::ContextOverflow => (
                "finds the conversation too long for the model",
                "shorten it or use another model".to_owned(),
            ),
            LlmErrorKind::Unauthorised if self.has_key() => {
                ("refused the credentials", format!("check {}", names.key))
            }
            LlmErrorKind::Unauthorised => ("wants credentials", format!("set {}", names.key)),
            LlmErrorKind::ModelNotFound => ("does not have this model", self.other_model()),
            LlmErrorKind::Rejected => return self.rejected(refusal),
            LlmErrorKind::Unsupported => {
                ("cannot do this", "use another provider or model".to_owned())
            }
            LlmErrorKind::Overloaded => ("is overloaded", "try again later".to_owned()),
            LlmErrorKind::Unavailable => ("failed", "try again later".to_owned()),
            LlmErrorKind::Damaged => ("has a damaged model", "use another model".to_owned()),
            LlmErrorKind::Interrupted => ("broke the answer off", "ask again".to_owned()),
            LlmErrorKind::Protocol => {
                ("answered in an unknown way", format!("check that {} is right", names.url))
            }
        };
        (what.to_owned(), advice)
    }

    fn other_model(&self) -> String {
        let name = self.names().model.as_ref();
        name.map_or_else(
            || "choose one that it lists".to_owned(),
            |name| format!("choose one that it has, or check {name}"),
        )
    }

    fn rejected(&self, refusal: &Refusal) -> (String, String) {
        let status = refusal.status.map_or(0, |status| status.as_u16());
        let what = match status {
            0 => "rejected the request".to_owned(),
            status => format!("rejected the request with status {status}"),
        };
        let said = refusal.body.message.to_lowercase();
        let names_version = ["api version", "api-version"].iter().any(|it| said.contains(it));
        let Names { url, version, .. } = self.names();
        let advice = match (status, version) {
            (407, _) => {
                "the proxy on the way wants a user name and password; check HTTP_PROXY".to_owned()
            }
            (_, Some(version)) if names_version => format!("check {version}"),
            (300..400 | 404 | 405, Some(version)) => {
                format!("check that {url} and {version} are right")
            }
            (300..400 | 404 | 405, None) => format!("check that {url} is right"),
            (_, _) => "change the request".to_owned(),
        };
        (what, advice)
    }

    fn lost(&self) -> LlmError {
        let message = format!("{} closed the connection without an answer; try again", self.host());
        LlmError::new(LlmErrorKind::Unavailable, message)
    }
}

/// When to ask again.
fn later(refusal: &Refusal) -> String {
    refusal.retry_after.map_or_else(
        || "try again later".to_owned(),
        |hint| format!("try again in {} s", hint.as_secs_f64().ceil()),
    )
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

    use crate::{Endpoint, Names, Refusal, transport::SendError};

    fn endpoint() -> Endpoint {
        Endpoint::new("http://localhost:1/v1")
            .and_then(|it| it.with_secret_header(AUTHORIZATION, "Bearer hunter2"))
            .unwrap()
    }

    fn check_at(endpoint: &Endpoint, status: u16, body: &str, expected: &str) {
        let headers =
            HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static("1.2"))]);
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal::new(endpoint, Some(status), &headers, body.as_bytes());
        let error = endpoint.refused(refusal);
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    fn check(status: u16, body: &str, expected: &str) {
        check_at(&endpoint(), status, body, expected);
    }

    #[test]
    fn who_is_turned_away_pays_nothing() {
        let unbilled = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            let refusal = Refusal::new(&endpoint(), Some(status), &HeaderMap::new(), b"");
            endpoint().refused(refusal).is_unbilled()
        };
        assert_eq!([429, 503, 500, 502, 504].map(unbilled), [true, true, false, false, false]);
        let error = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
        assert!(endpoint().unreachable(SendError::Connect(error())).is_unbilled());
        assert!(!endpoint().unreachable(SendError::Lost(error())).is_unbilled());
        assert!(!endpoint().cut(true, error()).is_unbilled());
    }

    #[test]
    fn sentences_name_the_setting_to_mend() {
        let names = Names {
            key: "A_KEY".into(),
            url: "AN_URL".into(),
            model: Some("A_MODEL".into()),
            version: Some("A_VERSION".into()),
        };
        let check = |endpoint: Endpoint, status, body, expected| {
            check_at(&endpoint.with_names(names.clone()), status, body, expected);
        };
        check(endpoint(), 401, "", "localhost:1 refused the credentials; check A_KEY");
        let keyless = Endpoint::new("http://localhost:1").unwrap();
        check(keyless, 401, "", "localhost:1 wants credentials; set A_KEY");
        check(
            endpoint(),
            404,
            r#"{"error":{"code":"DeploymentNotFound","message":"no."}}"#,
            "localhost:1 does not have this model: no; choose one that it has, or check A_MODEL",
        );
        check(
            endpoint(),
            404,
            "",
            "localhost:1 rejected the request with status 404; check that AN_URL and A_VERSION are right",
        );
        check(
            endpoint(),
            400,
            r#"{"error":{"code":"BadRequest","message":"API version not supported"}}"#,
            "localhost:1 rejected the request with status 400: API version not supported; check A_VERSION",
        );
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
