//! The wiring of models: which gateways a configuration means, and what stands around each.

#[cfg(feature = "ollama")]
use std::time::Duration;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use async_trait::async_trait;
use brain_core::llm::{LlmGateway, Router};
use brain_tokio::llm::{LimitSettings, RetrySettings, StackSettings, TimeoutSettings, stack};
use http_api::HealthCheck;
#[cfg(feature = "http")]
use provider_settings::setting;
use provider_settings::{Kind, LOCAL, Server};

use crate::config::{Config, Patience, no_model_file};

pub(crate) type Gateway = Arc<dyn LlmGateway>;

/// Every configured provider, the default one first.
pub(crate) fn router(
    config: &Config,
    mut gateways: Vec<(&str, Gateway)>,
) -> anyhow::Result<Router> {
    gateways.sort_by_key(|(provider, _)| *provider != config.provider);
    let mut gateways = gateways.into_iter();
    let (name, first) = gateways.next().context("no provider is built into this codexd")?;
    Ok(gateways.fold(Router::new(name, first), |router, (name, it)| router.with(name, it)))
}

/// Every configured provider with its gateway.
pub(crate) fn all(config: &Config) -> anyhow::Result<Vec<(&str, Gateway)>> {
    let servers = config.servers.iter().map(|it| Ok((it.name.as_str(), server(it, config)?)));
    servers.chain(local(config).map(Ok)).collect()
}

/// The gateway to one server, in its wrappers.
fn server(server: &Server, config: &Config) -> anyhow::Result<Gateway> {
    let gateway = match server.kind {
        Kind::OpenAi | Kind::Azure | Kind::TabbyMl | Kind::Compatible => openai(server, config),
        Kind::Ollama => ollama(server, config),
    }?;
    let (patience, remote) = (config.patience, StackSettings::remote(&server.name));
    let at_once = patience.concurrency;
    let limit = LimitSettings { at_once, queue: 2 * at_once, ..LimitSettings::default() };
    let attempts = patience.retries + 1;
    let retry = RetrySettings { attempts, ..RetrySettings::default() };
    let timeouts = Some(event_timeouts(patience));
    let (limit, retry) = (Some(limit), Some(retry));
    Ok(stack(gateway, &StackSettings { limit, retry, timeouts, ..remote }))
}

/// A server that thinks may send bytes that are no event, so events are waited for longer.
fn event_timeouts(patience: Patience) -> TimeoutSettings {
    let usual = TimeoutSettings::default();
    let first_event = usual.first_event.max(2 * patience.first_byte);
    TimeoutSettings { first_event, idle: usual.idle.max(2 * patience.idle) }
}

#[cfg(feature = "http")]
fn timeouts(config: &Config) -> llm_http::Timeouts {
    let Patience { connect, first_byte, idle, .. } = config.patience;
    llm_http::Timeouts { connect, first_byte, idle }
}

/// What the operator calls a server's settings.
#[cfg(feature = "http")]
fn names(server: &Server) -> llm_http::Names {
    let name = |field| setting(&server.name, field).into();
    let version = server.api_version.as_ref().map(|_| name("api_version"));
    let model = if server.kind == Kind::Azure { name("model") } else { "MODEL".into() };
    llm_http::Names { key: name("api_key"), url: name("base_url"), model: Some(model), version }
}

#[cfg(feature = "openai")]
fn openai(server: &Server, config: &Config) -> anyhow::Result<Gateway> {
    use llm_openai::{OpenAiConfig, OpenAiGateway};
    let (url, model) = (server.base_url.as_str(), config.model_of(server));
    let plain = match server.kind {
        Kind::Azure => OpenAiConfig::azure(url, model, server.api_version.clone()),
        Kind::TabbyMl => OpenAiConfig::tabbyml(url, model),
        Kind::OpenAi | Kind::Compatible | Kind::Ollama => OpenAiConfig::new(url, model),
    };
    let gateway = OpenAiGateway::new(OpenAiConfig {
        api_key: server.api_key.clone(),
        token: server.token.clone(),
        names: names(server),
        timeouts: timeouts(config),
        network: config.network.clone(),
        ..plain
    });
    Ok(Arc::new(gateway?))
}

#[cfg(not(feature = "openai"))]
fn openai(server: &Server, _: &Config) -> anyhow::Result<Gateway> {
    anyhow::bail!("{} at {}: built without openai", server.name, server.base_url)
}

#[cfg(feature = "ollama")]
fn ollama(server: &Server, config: &Config) -> anyhow::Result<Gateway> {
    use llm_ollama::{KeepAlive, OllamaConfig, OllamaGateway};
    let keep_alive = server.keep_alive.map(|it| match it {
        Duration::MAX => KeepAlive::Forever,
        time => KeepAlive::For(time),
    });
    let gateway = OllamaGateway::new(OllamaConfig {
        api_key: server.api_key.clone(),
        keep_alive,
        num_ctx: server.num_ctx,
        may_pull: server.may_pull,
        names: names(server),
        timeouts: timeouts(config),
        network: config.network.clone(),
        ..OllamaConfig::new(server.base_url.as_str(), config.model_of(server))
    });
    Ok(Arc::new(gateway?))
}

#[cfg(not(feature = "ollama"))]
fn ollama(server: &Server, _: &Config) -> anyhow::Result<Gateway> {
    anyhow::bail!("{} at {}: built without ollama", server.name, server.base_url)
}

#[cfg(feature = "local")]
fn local(config: &Config) -> Option<(&'static str, Gateway)> {
    use llm_local::{LocalConfig, LocalGateway};
    let local = LocalConfig {
        chat_model: Some(config.local.chat_model.clone()),
        embedding_model: match &config.embeddings {
            crate::config::Embeddings::Local(folder) => Some(folder.clone()),
            crate::config::Embeddings::Off | crate::config::Embeddings::Provider(_) => None,
        },
        ..LocalConfig::new(config.data_dir.join("cache"))
    };
    Some((LOCAL, Arc::new(LocalGateway::new(local))))
}

#[cfg(not(feature = "local"))]
fn local(_: &Config) -> Option<(&'static str, Gateway)> {
    None
}

/// The local model, if it answers by default.
pub(crate) fn checks(config: &Config, gateways: &[(&str, Gateway)]) -> Vec<Arc<dyn HealthCheck>> {
    let file = &config.local.chat_model;
    let local = gateways.iter().filter(|it| it.0 == LOCAL && config.provider == LOCAL);
    local.map(|(_, it)| Arc::new(LocalModel(file.clone(), Arc::clone(it))) as _).collect()
}

/// The model that answers: its file, and what became of loading it.
#[derive(Debug)]
struct LocalModel(PathBuf, Gateway);

#[async_trait]
impl HealthCheck for LocalModel {
    fn name(&self) -> &str {
        "model"
    }

    async fn check(&self) -> Result<(), String> {
        match no_model_file(&self.0) {
            None => self.1.models().await.map(drop).map_err(|error| error.to_string()),
            Some(problem) => Err(problem),
        }
    }
}

/// Whether `model` is the name of the local model in this file.
pub(crate) fn is_local_model(model: &str, file: &Path) -> bool {
    #[cfg(feature = "local")]
    let name = llm_local::chat_id(file);
    #[cfg(not(feature = "local"))]
    let name = file.display().to_string();
    model.eq_ignore_ascii_case(&name)
}

/// Tells the local model's engine how many threads it may use; the process must have one yet.
pub(crate) fn limit_threads(config: &Config) {
    #[cfg(feature = "local")]
    if let Err(error) = llm_local::limit_threads(config.local.threads) {
        tracing::debug!(%error, "the local model takes a thread for each core");
    }
    #[cfg(not(feature = "local"))]
    let _: usize = config.local.threads;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::event_timeouts;
    use crate::config::Patience;

    #[test]
    fn events_are_waited_for_longer_than_bytes() {
        for seconds in [1, 300, 86_400] {
            let time = Duration::from_secs(seconds);
            let (retries, concurrency) = (0, 1);
            let patience =
                Patience { connect: time, first_byte: time, idle: time, retries, concurrency };
            let timeouts = event_timeouts(patience);
            assert!(time < timeouts.first_event && time < timeouts.idle, "{timeouts:?}");
        }
    }
}
