//! Where requests go and which headers they carry.
//!
//! It sends nothing; [`crate::HttpClient`] does.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header::PROXY_AUTHORIZATION};
use url::Url;

use crate::Names;

/// A base address and the headers of every request to it.
///
/// `Debug` shows no secret.
#[derive(Clone)]
pub struct Endpoint {
    /// Without a slash at the end.
    base: String,
    host: String,
    pub(crate) headers: HeaderMap,
    names: Names,
}

/// The address or a header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// The address is not one.
    #[error("`{0}` is not a base URL such as https://api.openai.com/v1")]
    Url(String),
    /// The address holds a user name or a password.
    #[error("the base URL of {0} holds credentials; give the key in its own setting")]
    Credentials(String),
    /// The address has a query or a fragment, to which no path can be appended; it is not shown,
    /// as it may hold a key.
    #[error("the base URL of {0} has a query or a fragment; leave it out")]
    Query(String),
    /// The value cannot stand in a header; it is not shown, as it may be a secret.
    #[error("the value for the header `{0}` has characters that no header can hold")]
    Header(HeaderName),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Endpoint {
    /// An endpoint by its base URL, `http:` or `https:`, to which paths are appended.
    ///
    /// # Errors
    ///
    /// When it is not such a URL or holds credentials.
    pub fn new(base_url: &str) -> Result<Self, InvalidEndpoint> {
        // Whatever stands before an @ may be a password, and a query may hold a key.
        let shown = base_url.rsplit('@').next().unwrap_or_default();
        let shown = shown.split(['?', '#']).next().unwrap_or_default();
        let invalid = || InvalidEndpoint::Url(shown.to_owned());
        let url = Url::parse(base_url.trim()).map_err(|_| invalid())?;
        let host = url.host_str().unwrap_or_default();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidEndpoint::Credentials(host.to_owned()));
        }
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(invalid());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidEndpoint::Query(host.to_owned()));
        }
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base, host, headers: HeaderMap::new(), names: Names::default() })
    }

    /// The same endpoint with one header more.
    ///
    /// # Errors
    ///
    /// When `value` has characters that no header can hold.
    pub fn with_header(self, name: HeaderName, value: &str) -> Result<Self, InvalidEndpoint> {
        self.insert(name, value, false)
    }

    /// The same endpoint with one header more, whose value is never shown: neither by `Debug` nor
    /// in an error that quotes what the server said.
    ///
    /// # Errors
    ///
    /// When `value` has characters that no header can hold.
    pub fn with_secret_header(
        self,
        name: HeaderName,
        value: &str,
    ) -> Result<Self, InvalidEndpoint> {
        self.insert(name, value, true)
    }

    fn insert(
        mut self,
        name: HeaderName,
        value: &str,
        secret: bool,
    ) -> Result<Self, InvalidEndpoint> {
        let Ok(mut value) = HeaderValue::from_str(value) else {
            return Err(InvalidEndpoint::Header(name));
        };
        value.set_sensitive(secret);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The same endpoint, whose errors call its settings so.
    #[must_use]
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// What its settings are called.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Whether requests carry a key.
    pub(crate) fn has_key(&self) -> bool {
        let mut headers = self.headers.iter();
        headers.any(|(name, value)| value.is_sensitive() && name != PROXY_AUTHORIZATION)
    }

    /// The host as errors name it: with its port unless that is the scheme's own.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address of `path`, which begins with a slash.
    pub(crate) fn uri(&self, path: &str) -> Result<Uri, http::uri::InvalidUri> {
        format!("{}{path}", self.base).parse()
    }

    /// `text` as it may be shown or logged.
    pub(crate) fn redact(&self, text: &str) -> String {
        let secrets = self.headers.values().filter(|value| value.is_sensitive());
        let texts = secrets.filter_map(|value| value.to_str().ok());
        // The scheme before a key is no secret.
        let bare = texts.map(|it| match it.split_once(' ') {
            Some(("Bearer" | "Basic", key)) => key,
            Some(_) | None => it,
        });
        crate::redact::redact(text, bare)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, USER_AGENT};

    use super::{Endpoint, InvalidEndpoint};

    #[test]
    fn paths_are_appended_to_the_base() {
        for base in [
            "http://localhost:8080/v1",
            "http://localhost:8080/v1/",
            " http://localhost:8080/v1// ",
        ] {
            let endpoint = Endpoint::new(base).unwrap();
            assert_eq!(endpoint.uri("/models").unwrap(), "http://localhost:8080/v1/models");
            assert_eq!(endpoint.host(), "localhost:8080");
        }
        assert_eq!(Endpoint::new("https://api.openai.com/v1").unwrap().host(), "api.openai.com");
        assert_eq!(Endpoint::new("http://[::1]:9").unwrap().host(), "[::1]:9");
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for bad in ["", "localhost:8080", "ftp://x", "/v1"] {
            assert_eq!(Endpoint::new(bad).unwrap_err(), InvalidEndpoint::Url(bad.to_owned()));
        }
        for bad in [
            "https://me:hunter2@x.y/v1",
            "https://me:hunter2@x y",
            "http://x/v1?key=hunter2",
            "http://x/#hunter2",
            "https://x y/v1?key=hunter2",
            "x.y/v1#hunter2",
        ] {
            let error = Endpoint::new(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let endpoint = Endpoint::new("https://x.y").unwrap();
        let error = endpoint.clone().with_secret_header(AUTHORIZATION, "hunter2\n").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        let endpoint = endpoint
            .with_header(USER_AGENT, "codexd")
            .and_then(|it| it.with_secret_header(AUTHORIZATION, "Bearer hunter2"))
            .unwrap();
        assert!(!format!("{endpoint:?}").contains("hunter2"));
        assert_eq!(
            endpoint.redact("no such key: hunter2, codexd"),
            "no such key: [redacted], codexd"
        );
    }
}
