//! What an operator decides about one Ollama server.
//!
//! It reads nothing by itself: the daemon fills it from the environment.

use std::time::Duration;

use http::header::{AUTHORIZATION, USER_AGENT};
use llm_http::{Endpoint, InvalidEndpoint, Names, Network, Timeouts};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

/// Longest silence of a server that pulls: it says nothing while it verifies a large file.
const PULL_IDLE: Duration = Duration::from_mins(10);

/// One Ollama server and how to use it. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct OllamaConfig {
    /// The address that `/api/chat` is appended to, such as `http://127.0.0.1:11434`. An `/api` or
    /// `/v1` at its end is left out.
    pub base_url: String,
    /// Sent as a bearer token; only ollama.com and proxies want one.
    pub api_key: Option<SecretString>,
    /// The model of requests that name none.
    pub default_model: String,
    /// The model of embeddings that name none; without it such requests are unsupported.
    pub embedding_model: Option<String>,
    /// How long a model stays loaded after a request; `None` leaves that to the server.
    pub keep_alive: Option<KeepAlive>,
    /// Tokens of context that models are loaded with, at most what a model has. `None` takes what the
    /// model's file says, else the model's own length up to 16,384.
    pub num_ctx: Option<u32>,
    /// Whether a model that the server does not have is pulled when it is first asked for. Whoever
    /// may name a model can then make the server fetch one.
    pub may_pull: bool,
    /// What the operator calls these settings, for errors that say which to mend.
    pub names: Names,
    /// How long to wait for the server.
    pub timeouts: Timeouts,
    /// How to reach the server.
    pub network: Network,
}

/// How long a model stays loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// This long after a request, in whole seconds; none unloads it at once.
    For(Duration),
    /// Until the server ends.
    Forever,
}

impl OllamaConfig {
    /// Where Ollama listens unless it is told otherwise.
    pub const LOCAL: &str = "http://127.0.0.1:11434";

    /// A server by its base URL, without a key, which may pull.
    #[must_use]
    pub fn new(base_url: impl Into<String>, default_model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            default_model: default_model.into(),
            embedding_model: None,
            keep_alive: None,
            num_ctx: None,
            may_pull: true,
            names: Names::default(),
            timeouts: Timeouts::default(),
            network: Network::default(),
        }
    }

    /// The endpoint with its headers.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, InvalidEndpoint> {
        let agent = concat!("codexd/", env!("CARGO_PKG_VERSION"));
        let base = self.base_url.trim().trim_end_matches('/');
        let base = ["/api", "/v1"].iter().find_map(|end| base.strip_suffix(end)).unwrap_or(base);
        let endpoint = Endpoint::new(base)?.with_names(self.names.clone());
        let endpoint = endpoint.with_header(USER_AGENT, agent)?;
        match &self.api_key {
            None => Ok(endpoint),
            Some(key) => {
                let bearer = format!("Bearer {}", key.expose_secret().trim());
                endpoint.with_secret_header(AUTHORIZATION, &bearer)
            }
        }
    }

    /// The timeouts of a pull.
    pub(crate) fn pull_timeouts(&self) -> Timeouts {
        let Timeouts { connect, first_byte, idle } = self.timeouts;
        Timeouts { connect, first_byte: first_byte.max(PULL_IDLE), idle: idle.max(PULL_IDLE) }
    }
}

/// Seconds; a negative number is for ever.
impl Serialize for KeepAlive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = match self {
            Self::For(duration) => i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            Self::Forever => -1,
        };
        seconds.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::OllamaConfig;

    #[test]
    fn no_secret_is_shown() {
        let key = |key: &str| Some(key.to_owned().into());
        let config =
            OllamaConfig { api_key: key("hunter2"), ..OllamaConfig::new("http://x", "qwen3") };
        let endpoint = config.endpoint().unwrap();
        assert!(!format!("{config:?} {endpoint:?}").contains("hunter2"));
        let broken = OllamaConfig { api_key: key("hunter2\n\u{1}x"), ..config };
        let error = broken.endpoint().unwrap_err();
        assert!(!format!("{error} {error:?} {broken:?}").contains("hunter2"));
    }

    #[test]
    fn the_other_surfaces_address_will_do() {
        for url in ["http://x:1", "http://x:1/", "http://x:1/v1", " http://x:1/api/ "] {
            let endpoint = OllamaConfig::new(url, "qwen3").endpoint().unwrap();
            assert!(format!("{endpoint:?}").contains("\"http://x:1\""), "{url}: {endpoint:?}");
        }
        let nested = OllamaConfig::new("http://x/ollama/v1", "qwen3").endpoint().unwrap();
        assert!(format!("{nested:?}").contains("\"http://x/ollama\""), "{nested:?}");
    }
}
