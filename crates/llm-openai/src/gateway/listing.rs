//! The models of a server, in whichever way it lists them.
//!
//! It is also the look whether address and key are right.

use std::collections::HashSet;

use brain_core::llm::{LlmError, LlmGateway, ModelInfo, ModelList};
use llm_http::CallError;

use super::OpenAiGateway;
use crate::{
    make::{AZURE, Make, OPENAI, TABBYML},
    wire::{ModelCard, ModelCards, ServerProps, TabbyHealth, TabbyModels},
};

impl OpenAiGateway {
    pub(super) async fn list(&self) -> Result<ModelList, LlmError> {
        if self.is(&TABBYML) {
            return self.list_tabby().await;
        }
        let path = self.routes.models();
        let list: Result<ModelCards, _> = self.client.get_json(&path).await;
        let list = list.map_err(|error| error.into_error(self.endpoint()))?;
        if self.is(&AZURE) {
            // It lists what could be deployed, which tells that the key is right; deployments
            // cannot be listed with it.
            return Ok(self.named_models(self.embedding_model.iter().cloned()));
        }
        let cards = list.data.unwrap_or_default();
        let props = self.props(&cards).await;
        self.learnt().list(&cards, props.as_ref());
        Ok(self.named_models(cards.into_iter().map(|card| card.id)))
    }

    /// What llama.cpp tells of its one model beside the list.
    async fn props(&self, cards: &[ModelCard]) -> Option<ServerProps> {
        let owner = cards.first()?.owned_by.as_deref()?;
        Make::by_owner(owner).filter(|make| make.props)?;
        self.client.get_json("/props").await.ok()
    }

    /// TabbyML tells its health and, where it has several, its models.
    async fn list_tabby(&self) -> Result<ModelList, LlmError> {
        let health: Result<TabbyHealth, _> = self.client.get_json("/v1/health").await;
        let health = health.map_err(|error| error.into_error(self.endpoint()))?;
        let listed = match self.client.get_json("/v1beta/models").await {
            Ok(listed) => listed,
            Err(CallError::Refused(_)) => TabbyModels::default(),
            Err(CallError::Failed(error)) => return Err(error),
        };
        let chat = listed.chat.unwrap_or_default().into_iter().chain(health.chat_model);
        Ok(self.named_models(chat))
    }

    /// The default and these models. The default can be asked for even where a list leaves it
    /// out: many servers list a file's name and answer to any.
    fn named_models(&self, ids: impl Iterator<Item = String>) -> ModelList {
        let mut seen = HashSet::new();
        let ids = std::iter::once(self.default_model.clone()).chain(ids);
        let ids = ids.filter(|id| !id.is_empty() && seen.insert(id.clone()));
        let models = ids.map(|id| ModelInfo { capabilities: self.capabilities(&id), id });
        // Only OpenAI itself is known to list all that it has.
        ModelList { models: models.collect(), open: !self.is(&OPENAI), ..ModelList::default() }
    }
}
