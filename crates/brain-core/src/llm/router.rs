//! Several gateways behind one: `provider/model` chooses.
//!
//! It only chooses. Retry, fallback and limits are other wrappers' business.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{
    Capabilities, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings, Estimate,
    LlmError, LlmErrorKind, LlmGateway, ModelInfo, ModelList, ProviderFault, ProviderState,
    TokenCounter,
};

/// Sends each request to the gateway its model's prefix names, else to the default gateway.
///
/// A name is split at the first `/` only if what stands before it is a provider of this router:
/// `openai/gpt-4.1-mini` goes to `openai`, while `meta-llama/Llama-3` goes whole to the default.
#[derive(Clone, Debug)]
pub struct Router {
    gateways: BTreeMap<String, Arc<dyn LlmGateway>>,
    default: String,
}

impl Router {
    /// A router over one gateway, which is also the default.
    #[must_use]
    pub fn new(name: impl Into<String>, gateway: Arc<dyn LlmGateway>) -> Self {
        let default = name.into();
        Self { gateways: BTreeMap::from([(default.clone(), gateway)]), default }
    }

    /// The same router with one gateway more; the default stays.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, gateway: Arc<dyn LlmGateway>) -> Self {
        self.gateways.insert(name.into(), gateway);
        self
    }

    /// The provider that answers when none is named.
    #[must_use]
    pub fn default_provider(&self) -> &str {
        &self.default
    }

    /// The gateways by provider name.
    pub fn gateways(&self) -> impl Iterator<Item = (&str, &Arc<dyn LlmGateway>)> {
        self.gateways.iter().map(|(name, gateway)| (name.as_str(), gateway))
    }

    fn route<'a>(&self, model: &'a str) -> Result<(&Arc<dyn LlmGateway>, &'a str), LlmError> {
        if let Some((provider, rest)) = model.split_once('/')
            && let Some(gateway) = self.gateways.get(provider)
        {
            return Ok((gateway, rest));
        }
        let gateway = self.gateways.get(&self.default).ok_or_else(|| {
            LlmError::new(
                LlmErrorKind::Unsupported,
                "no provider is configured; run `codexd doctor`",
            )
        })?;
        Ok((gateway, model))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LlmGateway for Router {
    async fn stream(&self, mut request: ChatRequest) -> Result<ChatStream, LlmError> {
        let (gateway, model) = self.route(&request.model)?;
        let gateway = Arc::clone(gateway);
        request.model = model.to_owned();
        gateway.stream(request).await
    }

    async fn complete_text(&self, mut request: CompletionRequest) -> Result<ChatStream, LlmError> {
        let (gateway, model) = self.route(&request.model)?;
        let gateway = Arc::clone(gateway);
        request.model = model.to_owned();
        gateway.complete_text(request).await
    }

    async fn embed(&self, mut request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let (gateway, model) = self.route(&request.model)?;
        let gateway = Arc::clone(gateway);
        request.model = model.to_owned();
        gateway.embed(request).await
    }

    /// The models of every provider that answers, the default's first; all are asked at once. It
    /// fails only if none answers.
    async fn models(&self) -> Result<ModelList, LlmError> {
        let others = self.gateways.iter().filter(|(name, _)| **name != self.default);
        let all = self.gateways.get_key_value(&self.default).into_iter().chain(others);
        let asked = all.map(async |(name, gateway)| (name, gateway.models().await));
        let (mut list, mut failure) = (ModelList::default(), None);
        for (name, answer) in join_all(asked).await {
            let fault = answer.as_ref().err().map(ProviderFault::from);
            list.providers.push(ProviderState { name: name.clone(), fault });
            match answer {
                Ok(found) => list.models.extend(
                    found
                        .models
                        .into_iter()
                        .map(|it| ModelInfo { id: format!("{name}/{}", it.id), ..it }),
                ),
                Err(error) => {
                    tracing::warn!(provider = name, %error, "could not list the models");
                    failure = failure.or(Some(error));
                }
            }
        }
        match failure {
            Some(error) if list.models.is_empty() => Err(error),
            Some(_) | None => Ok(list),
        }
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.route(model).map(|(gateway, model)| gateway.capabilities(model)).unwrap_or_default()
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        let counter = self.route(model).map(|(gateway, model)| gateway.tokens(model));
        counter.unwrap_or_else(|_| Estimate::counter())
    }
}
