//! What an operator calls the settings of an endpoint.
//!
//! Names only: no value of a setting is ever in here.

use std::borrow::Cow;

/// What an operator calls the settings of an endpoint, so that an error can say which one to mend:
/// `OPENAI_API_KEY` rather than "the API key". The default has words instead of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The key or token.
    pub key: Cow<'static, str>,
    /// The address.
    pub url: Cow<'static, str>,
    /// The model or deployment of requests that name none; `None` where nothing sets it.
    pub model: Option<Cow<'static, str>>,
    /// The version of the API; `None` where the address says it.
    pub version: Option<Cow<'static, str>>,
}

impl Default for Names {
    fn default() -> Self {
        let [key, url] = ["the API key", "the base URL"].map(Cow::Borrowed);
        Self { key, url, model: None, version: None }
    }
}
