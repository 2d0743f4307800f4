//! What an operator decides about one server that speaks OpenAI's API, or nearly.
//!
//! It reads nothing by itself: the daemon fills it from the environment.

use http::{
    HeaderName,
    header::{AUTHORIZATION, USER_AGENT},
};
use llm_http::{Endpoint, InvalidEndpoint, Names, Network, Timeouts};
use secrecy::{ExposeSecret, SecretString};

use crate::routes::Routes;

/// Where OpenAI itself is.
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// Azure's own header for a key.
const AZURE_KEY: HeaderName = HeaderName::from_static("api-key");

/// Which kind of server it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Server {
    /// OpenAI itself, or a proxy in front of it.
    OpenAi,
    /// Azure OpenAI. Its models are deployments.
    Azure {
        /// The deployment of requests that name none.
        deployment: String,
        /// A dated version such as `2024-10-21` asks by deployment URLs; `None` asks the v1
        /// surface, which needs none.
        api_version: Option<String>,
    },
    /// TabbyML, which chats in OpenAI's way and completes code in its own.
    TabbyMl,
    /// Any other server that speaks OpenAI's API; its make is found out where that matters.
    #[default]
    Compatible,
}

/// One server that speaks OpenAI's API, and how to use it. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// Which kind of server it is.
    pub server: Server,
    /// The address that `/chat/completions` is appended to, such as `http://localhost:8080/v1`; of
    /// Azure the resource's, such as `https://NAME.openai.azure.com`; of TabbyML the server's.
    pub base_url: String,
    /// The key; local servers often want none.
    pub api_key: Option<SecretString>,
    /// A token in place of the key, sent as a bearer's: one of Entra for Azure.
    pub token: Option<SecretString>,
    /// The model of requests that name none. Empty means Azure's deployment, or TabbyML's own.
    pub default_model: String,
    /// The model of embeddings that name none; without it such requests are unsupported.
    pub embedding_model: Option<String>,
    /// `OpenAI-Organization`, for keys that belong to several.
    pub organization: Option<String>,
    /// `OpenAI-Project`, likewise.
    pub project: Option<String>,
    /// What the operator calls these settings, for errors that say which to mend.
    pub names: Names,
    /// How long to wait for the server.
    pub timeouts: Timeouts,
    /// How to reach the server.
    pub network: Network,
}

impl OpenAiConfig {
    /// A compatible server by its base URL, without a key.
    #[must_use]
    pub fn new(base_url: impl Into<String>, default_model: impl Into<String>) -> Self {
        Self {
            server: Server::Compatible,
            base_url: base_url.into(),
            api_key: None,
            token: None,
            default_model: default_model.into(),
            embedding_model: None,
            organization: None,
            project: None,
            names: Names::default(),
            timeouts: Timeouts::default(),
            network: Network::default(),
        }
    }

    /// OpenAI itself.
    #[must_use]
    pub fn openai(api_key: SecretString, default_model: impl Into<String>) -> Self {
        let server = Server::OpenAi;
        Self { server, api_key: Some(api_key), ..Self::new(OPENAI_BASE_URL, default_model) }
    }

    /// Azure OpenAI by its resource's address; the dated `api_version` asks by deployment URLs.
    #[must_use]
    pub fn azure(
        endpoint: impl Into<String>,
        deployment: impl Into<String>,
        api_version: Option<String>,
    ) -> Self {
        let server = Server::Azure { deployment: deployment.into(), api_version };
        Self { server, ..Self::new(endpoint, "") }
    }

    /// TabbyML by its address; an empty model leaves the choice to the server.
    #[must_use]
    pub fn tabbyml(base_url: impl Into<String>, default_model: impl Into<String>) -> Self {
        Self { server: Server::TabbyMl, ..Self::new(base_url, default_model) }
    }

    /// The model of requests that name none; may be empty.
    pub(crate) fn default_model(&self) -> &str {
        match &self.server {
            Server::Azure { deployment, .. } if self.default_model.is_empty() => deployment,
            Server::Azure { .. } | Server::OpenAi | Server::TabbyMl | Server::Compatible => {
                &self.default_model
            }
        }
    }

    /// The endpoint with its headers, and the paths there.
    pub(crate) fn endpoint(&self) -> Result<(Endpoint, Routes), InvalidEndpoint> {
        let (root, routes) = Routes::of(&self.server, &self.base_url);
        let agent = concat!("codexd/", env!("CARGO_PKG_VERSION"));
        let endpoint = Endpoint::new(&root)?.with_header(USER_AGENT, agent)?;
        let mut endpoint = self.authorised(endpoint)?.with_names(self.names.clone());
        let scopes =
            [("openai-organization", &self.organization), ("openai-project", &self.project)];
        for (name, value) in scopes {
            if let Some(value) = value {
                endpoint = endpoint.with_header(HeaderName::from_static(name), value)?;
            }
        }
        Ok((endpoint, routes))
    }

    fn authorised(&self, endpoint: Endpoint) -> Result<Endpoint, InvalidEndpoint> {
        let is_azure = matches!(self.server, Server::Azure { .. });
        if let Some(key) = self.api_key.as_ref().filter(|_| is_azure && self.token.is_none()) {
            return endpoint.with_secret_header(AZURE_KEY, key.expose_secret().trim());
        }
        let Some(token) = self.token.as_ref().or(self.api_key.as_ref()) else {
            return Ok(endpoint);
        };
        let bearer = format!("Bearer {}", token.expose_secret().trim());
        endpoint.with_secret_header(AUTHORIZATION, &bearer)
    }
}

#[cfg(test)]
mod tests {
    use super::OpenAiConfig;

    #[test]
    fn no_secret_is_shown() {
        let azure = OpenAiConfig::azure("https://x.openai.azure.com", "d", None);
        let openai = OpenAiConfig::openai("unused".to_owned().into(), "gpt-4.1-mini");
        for config in [azure, openai] {
            let with = |key: &str| OpenAiConfig {
                api_key: Some(key.to_owned().into()),
                token: Some(key.to_owned().into()),
                ..config.clone()
            };
            let config = with("sk-hunter2");
            let endpoint = config.endpoint().unwrap();
            assert!(!format!("{config:?} {endpoint:?}").contains("hunter2"));
            let broken = with("sk-hunter2\n\u{1}x");
            let error = broken.endpoint().unwrap_err();
            assert!(!format!("{error} {error:?} {broken:?}").contains("hunter2"));
        }
    }
}
