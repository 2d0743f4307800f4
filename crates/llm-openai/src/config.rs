//! What an operator decides about one OpenAI-compatible server.
//!
//! It reads nothing by itself: the daemon fills it from the environment.

use http::{
    HeaderName,
    header::{AUTHORIZATION, USER_AGENT},
};
use llm_http::{Endpoint, InvalidEndpoint, Network, Timeouts};
use secrecy::{ExposeSecret, SecretString};

/// Where OpenAI itself is.
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// One OpenAI-compatible server and how to use it. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// The address that `/chat/completions` is appended to, such as `http://localhost:8080/v1`.
    pub base_url: String,
    /// Sent as a bearer token; local servers often want none.
    pub api_key: Option<SecretString>,
    /// The model of requests that name none.
    pub default_model: String,
    /// The model of embeddings that name none; without it such requests are unsupported.
    pub embedding_model: Option<String>,
    /// `OpenAI-Organization`, for keys that belong to several.
    pub organization: Option<String>,
    /// `OpenAI-Project`, likewise.
    pub project: Option<String>,
    /// How long to wait for the server.
    pub timeouts: Timeouts,
    /// How to reach the server.
    pub network: Network,
}

impl OpenAiConfig {
    /// A server by its base URL, without a key.
    #[must_use]
    pub fn new(base_url: impl Into<String>, default_model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            default_model: default_model.into(),
            embedding_model: None,
            organization: None,
            project: None,
            timeouts: Timeouts::default(),
            network: Network::default(),
        }
    }

    /// OpenAI itself.
    #[must_use]
    pub fn openai(api_key: SecretString, default_model: impl Into<String>) -> Self {
        Self { api_key: Some(api_key), ..Self::new(OPENAI_BASE_URL, default_model) }
    }

    /// The endpoint with its headers.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, InvalidEndpoint> {
        let agent = concat!("codexd/", env!("CARGO_PKG_VERSION"));
        let mut endpoint = Endpoint::new(&self.base_url)?.with_header(USER_AGENT, agent)?;
        if let Some(key) = &self.api_key {
            let bearer = format!("Bearer {}", key.expose_secret().trim());
            endpoint = endpoint.with_secret_header(AUTHORIZATION, &bearer)?;
        }
        let scopes =
            [("openai-organization", &self.organization), ("openai-project", &self.project)];
        for (name, value) in scopes {
            if let Some(value) = value {
                endpoint = endpoint.with_header(HeaderName::from_static(name), value)?;
            }
        }
        Ok(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::OpenAiConfig;

    #[test]
    fn no_secret_is_shown() {
        let config = OpenAiConfig::openai("sk-hunter2".to_owned().into(), "gpt-4.1-mini");
        let endpoint = config.endpoint().unwrap();
        assert!(!format!("{config:?} {endpoint:?}").contains("hunter2"));
        let broken = OpenAiConfig::openai("sk-hunter2\n\u{1}x".to_owned().into(), "m");
        let error = broken.endpoint().unwrap_err();
        assert!(!format!("{error} {error:?} {broken:?}").contains("hunter2"));
    }
}
