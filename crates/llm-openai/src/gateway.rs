//! The port over HTTP: asks, and hands what comes to the pure parts.

use std::{
    collections::{HashMap, HashSet},
    iter,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use brain_core::llm::{
    Capabilities, ChatRequest, ChatStream, EmbedRequest, Embeddings, LlmError, LlmErrorKind,
    LlmGateway, ModelInfo, ModelList, TokenCounter,
};
use llm_http::{CallError, Endpoint, HttpClient, InvalidEndpoint};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    OpenAiConfig,
    answer::Answer,
    decode::ChunkDecoder,
    dialect::{Dialect, complaint},
    embeddings, families, request,
    tokens::Tables,
    wire::{EmbeddingsRequest, EmbeddingsResponse, ModelCard, ModelCards},
};

/// Most models whose dialect is remembered; names come from clients, so there must be a bound.
const MAX_DIALECTS: usize = 64;

/// Most texts in one request for embeddings; OpenAI's limit.
const MAX_INPUTS: usize = 2_048;

/// A server that speaks OpenAI's Chat Completions.
#[derive(Debug)]
pub struct OpenAiGateway {
    client: HttpClient,
    default_model: String,
    embedding_model: Option<String>,
    /// OpenAI's own server, which has newer names for some fields.
    official: bool,
    /// What was learnt from refusals, by model.
    dialects: Mutex<HashMap<String, Dialect>>,
    /// Tokens of context, by model, as the server's last list said.
    contexts: Mutex<HashMap<String, u32>>,
    tables: Tables,
}

impl OpenAiGateway {
    /// A gateway to the server of `config`; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// When the base URL is not one, or the key cannot stand in a header.
    pub fn new(config: OpenAiConfig) -> Result<Self, InvalidEndpoint> {
        let endpoint = config.endpoint()?;
        let official = matches!(endpoint.host().split_once("api.openai.com"), Some((region, ""))
            if region.is_empty() || region.ends_with('.'));
        Ok(Self {
            client: HttpClient::new(endpoint, config.timeouts, &config.network)?,
            default_model: config.default_model,
            embedding_model: config.embedding_model,
            official,
            dialects: Mutex::default(),
            contexts: Mutex::default(),
            tables: Tables::default(),
        })
    }

    fn endpoint(&self) -> &Endpoint {
        self.client.endpoint()
    }

    fn chat_model<'a>(&'a self, asked: &'a str) -> Result<&'a str, LlmError> {
        let model = if asked.is_empty() { &self.default_model } else { asked };
        if model.is_empty() {
            let message = format!("no model is chosen for {}; name one", self.endpoint().host());
            return Err(LlmError::new(LlmErrorKind::ModelNotFound, message));
        }
        Ok(model)
    }

    fn dialect(&self, model: &str) -> Dialect {
        let dialects = self.dialects.lock().unwrap_or_else(PoisonError::into_inner);
        let known = dialects.get(model).cloned();
        known.unwrap_or_else(|| families::dialect(model, self.official))
    }

    fn remember(&self, model: &str, dialect: Dialect) {
        let mut dialects = self.dialects.lock().unwrap_or_else(PoisonError::into_inner);
        if dialects.len() < MAX_DIALECTS || dialects.contains_key(model) {
            dialects.insert(model.to_owned(), dialect);
        }
    }

    async fn embed_batch(&self, model: &str, input: &[String]) -> Result<Embeddings, LlmError> {
        let mut body = EmbeddingsRequest { model, input, encoding_format: Some("base64") };
        let response: EmbeddingsResponse = loop {
            match self.client.post_json("/embeddings", &body).await {
                Ok(response) => break response,
                Err(CallError::Failed(error)) => return Err(error),
                Err(CallError::Refused(refusal)) => {
                    let format = body.encoding_format.take().map(|_| ((), "encoding_format"));
                    if complaint(&refusal, format.into_iter()).is_none() {
                        return Err(self.endpoint().refused(*refusal));
                    }
                }
            }
        };
        let embeddings = embeddings::read(self.endpoint(), response, input.len())?;
        let named = if embeddings.model.is_empty() { model.to_owned() } else { embeddings.model };
        Ok(Embeddings { model: named, ..embeddings })
    }
}

#[async_trait]
impl LlmGateway for OpenAiGateway {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        let model = self.chat_model(&request.model)?;
        let mut dialect = self.dialect(model);
        loop {
            let body = request::chat(&request, model, &dialect);
            let refusal = match self.client.post_stream("/chat/completions", &body).await {
                Ok(bytes) => {
                    let endpoint = self.client.endpoint().clone();
                    let decoder = ChunkDecoder::new(endpoint, model, call_prefix());
                    return Ok(Answer::new(bytes, decoder).into_stream());
                }
                Err(CallError::Failed(error)) => return Err(error),
                Err(CallError::Refused(refusal)) => refusal,
            };
            let Some((next, field)) = dialect.without_refused(&refusal, &body) else {
                return Err(self.endpoint().refused(*refusal));
            };
            tracing::warn!(
                model,
                field = field.name(),
                "the server refuses a field; asking without it"
            );
            self.remember(model, next.clone());
            dialect = next;
        }
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let asked = Some(request.model.as_str()).filter(|model| !model.is_empty());
        let Some(model) = asked.or(self.embedding_model.as_deref()) else {
            let host = self.endpoint().host();
            let message = format!("no embedding model is chosen for {host}; name one");
            return Err(LlmError::new(LlmErrorKind::Unsupported, message));
        };
        let mut all = Embeddings {
            model: model.to_owned(),
            vectors: Vec::with_capacity(request.inputs.len()),
            usage: brain_core::chat::Usage::default(),
        };
        for batch in request.inputs.chunks(MAX_INPUTS) {
            let made = self.embed_batch(model, batch).await?;
            all.model = made.model;
            all.vectors.extend(made.vectors);
            all.usage += made.usage;
        }
        Ok(all)
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        let list: Result<ModelCards, _> = self.client.get_json("/models").await;
        let list = list.map_err(|error| error.into_error(self.endpoint()))?;
        let cards = list.data.unwrap_or_default();
        let contexts =
            cards.iter().filter_map(|card| Some((card.id.clone(), context_tokens(card)?)));
        *self.contexts.lock().unwrap_or_else(PoisonError::into_inner) = contexts.collect();
        // The default can be asked for even where the list leaves it out: many servers list a
        // file's name and answer to any.
        let listed = cards.into_iter().map(|card| card.id);
        let mut seen = HashSet::new();
        let ids = iter::once(self.default_model.clone()).chain(listed);
        let ids = ids.filter(|id| !id.is_empty() && seen.insert(id.clone()));
        let models = ids.map(|id| ModelInfo { capabilities: self.capabilities(&id), id });
        Ok(models.collect::<Vec<_>>().into())
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        let model = if model.is_empty() { &self.default_model } else { model };
        let contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = families::capabilities(model);
        let context_tokens = contexts.get(model).copied().or(known.context_tokens);
        Capabilities { context_tokens, ..known }
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        let model = if model.is_empty() { &self.default_model } else { model };
        self.tables.counter(model, self.official)
    }
}

/// What begins the ids of one answer's tool calls; short enough for OpenAI's limit of 40.
fn call_prefix() -> String {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    format!("call_{random:016x}_")
}

fn context_tokens(card: &ModelCard) -> Option<u32> {
    let said = [&card.max_model_len, &card.context_length, &card.context_window];
    said.into_iter().flatten().find_map(Value::as_u64).and_then(|it| it.try_into().ok())
}
