//! Several gateways behind one: `provider/model` chooses.
//!
//! It only chooses, and puts the provider's name before the model's. Retry, fallback and limits are
//! other wrappers' business.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{
    StreamExt, TryStreamExt,
    future::{self, Either, join_all},
};

use super::{
    Capabilities, ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
    Estimate, Finish, LlmError, LlmErrorKind, LlmGateway, ModelInfo, ModelList, ProviderFault,
    ProviderState, TokenCounter,
};
use crate::time::Clock;

/// Sends each request to the gateway its model's prefix names, else to the default gateway.
///
/// A name is split at the first `/` only if what stands before it is a provider of this router:
/// `openai/gpt-4.1-mini` goes to `openai`, while `meta-llama/Llama-3` goes whole to the default. An
/// answer names its model as `provider/model`, whatever it was asked for; vectors name theirs as the
/// provider does, since stores tell vectors apart by that name.
#[derive(Clone, Debug)]
pub struct Router {
    gateways: BTreeMap<Arc<str>, Arc<dyn LlmGateway>>,
    default: Arc<str>,
    /// How long a list of models may take.
    patience: Option<(Arc<dyn Clock>, Duration)>,
}

impl Router {
    /// A router over one gateway, which is also the default.
    #[must_use]
    pub fn new(name: impl Into<String>, gateway: Arc<dyn LlmGateway>) -> Self {
        let default: Arc<str> = name.into().into();
        let gateways = BTreeMap::from([(Arc::clone(&default), gateway)]);
        Self { gateways, default, patience: None }
    }

    /// The same router with one gateway more; the default stays.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, gateway: Arc<dyn LlmGateway>) -> Self {
        self.gateways.insert(name.into().into(), gateway);
        self
    }

    /// The same router, which gives each provider so long to list its models, by this clock.
    #[must_use]
    pub fn listing_within(mut self, clock: Arc<dyn Clock>, patience: Duration) -> Self {
        self.patience = Some((clock, patience));
        self
    }

    /// The provider that answers when none is named.
    #[must_use]
    pub fn default_provider(&self) -> &str {
        &self.default
    }

    /// The gateways by provider name.
    pub fn gateways(&self) -> impl Iterator<Item = (&str, &Arc<dyn LlmGateway>)> {
        self.gateways.iter().map(|(name, gateway)| (&**name, gateway))
    }

    /// What a provider lists, if it does in time.
    async fn list(&self, gateway: &Arc<dyn LlmGateway>) -> Result<ModelList, LlmError> {
        let Some((clock, patience)) = &self.patience else { return gateway.models().await };
        match future::select(gateway.models(), clock.sleep(*patience)).await {
            Either::Left((listed, _)) => listed,
            Either::Right(_) => {
                let seconds = patience.as_secs_f64();
                let message =
                    format!("it listed no models within {seconds} s; see whether it runs");
                Err(LlmError::new(LlmErrorKind::Unavailable, message))
            }
        }
    }

    fn route<'a>(&self, model: &'a str) -> Result<Route<'_, 'a>, LlmError> {
        if let Some((provider, model)) = model.split_once('/')
            && let Some((provider, gateway)) = self.gateways.get_key_value(provider)
        {
            return Ok(Route { provider, gateway, model });
        }
        let (provider, gateway) = self.gateways.get_key_value(&self.default).ok_or_else(|| {
            LlmError::new(
                LlmErrorKind::Unsupported,
                "no provider is configured; run `codexd doctor`",
            )
        })?;
        Ok(Route { provider, gateway, model })
    }
}

/// Where a request goes.
struct Route<'r, 'm> {
    provider: &'r Arc<str>,
    gateway: &'r Arc<dyn LlmGateway>,
    /// The model as the provider knows it.
    model: &'m str,
}

/// The same answer, whose model is named as it can be asked for.
fn named(stream: ChatStream, provider: &Arc<str>) -> ChatStream {
    let provider = Arc::clone(provider);
    let name = move |event| match event {
        ChatEvent::Finished(Finish { reason, model }) => {
            ChatEvent::Finished(Finish { reason, model: format!("{provider}/{model}") })
        }
        other @ (ChatEvent::Progress(_)
        | ChatEvent::Text(_)
        | ChatEvent::Reasoning(_)
        | ChatEvent::ToolCallDelta(_)
        | ChatEvent::ToolCall(_)
        | ChatEvent::Usage(_)) => other,
    };
    stream.map_ok(name).boxed()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LlmGateway for Router {
    async fn stream(&self, mut request: ChatRequest) -> Result<ChatStream, LlmError> {
        let Route { provider, gateway, model } = self.route(&request.model)?;
        request.model = model.to_owned();
        Ok(named(gateway.stream(request).await?, provider))
    }

    async fn complete_text(&self, mut request: CompletionRequest) -> Result<ChatStream, LlmError> {
        let Route { provider, gateway, model } = self.route(&request.model)?;
        request.model = model.to_owned();
        Ok(named(gateway.complete_text(request).await?, provider))
    }

    async fn embed(&self, mut request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let Route { gateway, model, .. } = self.route(&request.model)?;
        request.model = model.to_owned();
        gateway.embed(request).await
    }

    /// The models of every provider that answers, the default's first; all are asked at once. It
    /// never fails: who does not answer, or not in time, has a fault in the list.
    async fn models(&self) -> Result<ModelList, LlmError> {
        let others = self.gateways.iter().filter(|(name, _)| **name != self.default);
        let all = self.gateways.get_key_value(&self.default).into_iter().chain(others);
        let asked = all.map(async |(name, gateway)| (name, self.list(gateway).await));
        let mut list = ModelList::default();
        for (name, answer) in join_all(asked).await {
            let fault = answer.as_ref().err().map(ProviderFault::from);
            let open = answer.as_ref().is_ok_and(|it| it.open);
            list.providers.push(ProviderState { name: name.to_string(), fault, open });
            match answer {
                Ok(found) => list.models.extend(
                    found
                        .models
                        .into_iter()
                        .map(|it| ModelInfo { id: format!("{name}/{}", it.id), ..it }),
                ),
                Err(error) => {
                    tracing::warn!(provider = &**name, %error, "could not list the models");
                }
            }
        }
        Ok(list)
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.route(model).map(|it| it.gateway.capabilities(it.model)).unwrap_or_default()
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        let counter = self.route(model).map(|it| it.gateway.tokens(it.model));
        counter.unwrap_or_else(|_| Estimate::counter())
    }
}
