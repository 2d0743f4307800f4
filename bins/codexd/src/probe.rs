//! Asking every provider whether it answers as it is configured.

use std::{sync::Arc, time::Duration};

use brain_core::{
    chat::Message,
    llm::{ChatRequest, GenerationOptions, LlmError, LlmGatewayExt as _},
};
use futures_util::future::join_all;
use provider_settings::{Kind, LOCAL};
use tokio::time::timeout;

use crate::{
    config::{Config, GET_MODEL},
    gateways::{self, Gateway},
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the local model may take to its first word; the first time, its file is converted.
const LOADING: Duration = Duration::from_secs(60);

/// What a provider answered.
pub(crate) struct Probe<'a> {
    pub(crate) name: &'a str,
    /// Its models, or why there are none, in a sentence that says what to do.
    pub(crate) models: Result<Vec<String>, String>,
    /// Whether it answers where nobody names one.
    pub(crate) is_default: bool,
}

/// Asks all providers at once. Each lists its models; the default one also says a word where only
/// that shows whether its model is there, which costs a token or a few.
pub(crate) async fn all(config: &Config) -> anyhow::Result<Vec<Probe<'_>>> {
    let asked = gateways::all(config)?.into_iter().map(async |(name, gateway)| {
        let patience = if name == LOCAL { LOADING } else { PATIENCE };
        let models = match timeout(patience, ask(config, name, &gateway)).await {
            Ok(Ok(models)) if models.is_empty() => Err("it has no model".to_owned()),
            Ok(Ok(models)) => Ok(models),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
        };
        let advised = |it: String| if name == LOCAL { format!("{it}; {GET_MODEL}") } else { it };
        let is_default = name == config.provider;
        Probe { name, models: models.map_err(advised), is_default }
    });
    Ok(join_all(asked).await)
}

async fn ask(config: &Config, name: &str, gateway: &Gateway) -> Result<Vec<String>, LlmError> {
    let listed = gateway.models().await?.models;
    let models: Vec<_> = listed.into_iter().map(|it| it.id).collect();
    let server = config.servers.iter().find(|it| it.name == name);
    let is_sure = match server {
        // The gateway puts its default first, listed or not; Azure lists no deployments.
        Some(server) => match server.kind {
            Kind::Azure => false,
            // It would fetch the model.
            Kind::Ollama if server.may_pull => true,
            Kind::OpenAi | Kind::TabbyMl | Kind::Compatible | Kind::Ollama => {
                1 < models.len() && config.model_of(server).is_empty()
            }
        },
        // Whether its file is whole shows only then.
        None => models.is_empty(),
    };
    if name == config.provider && !is_sure {
        gateway.complete(one_word()).await?;
    }
    Ok(models)
}

fn one_word() -> ChatRequest {
    let options = GenerationOptions { max_tokens: Some(1), ..GenerationOptions::default() };
    let messages = vec![Arc::new(Message::user("Hi"))];
    ChatRequest { messages, options, ..ChatRequest::default() }
}
