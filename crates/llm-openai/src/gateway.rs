//! The port over HTTP: asks, and hands what comes to the pure parts.

mod filling;
mod listing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use brain_core::llm::{
    Capabilities, ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
    LlmError, LlmErrorKind, LlmGateway, ModelList, TokenCounter,
};
use futures_util::{StreamExt, TryStreamExt};
use llm_http::{ByteStream, CallError, Endpoint, HttpClient, InvalidEndpoint};
use uuid::Uuid;

use crate::{
    OpenAiConfig,
    answer::Answer,
    decode::{ChunkDecoder, Shape},
    dialect::{Dialect, complaint},
    embeddings, families,
    learnt::Learnt,
    make::{AZURE, Fills, Make, TABBYML, UNKNOWN},
    request,
    routes::Routes,
    tokens::Tables,
    wire::{EmbeddingsRequest, EmbeddingsResponse},
};

/// Most texts in one request for embeddings; OpenAI's limit.
const MAX_INPUTS: usize = 2_048;

/// A server that speaks OpenAI's Chat Completions.
#[derive(Debug)]
pub struct OpenAiGateway {
    client: HttpClient,
    routes: Routes,
    /// What the configuration tells; `None` where it is found out.
    make: Option<&'static Make>,
    default_model: String,
    embedding_model: Option<String>,
    learnt: Arc<Mutex<Learnt>>,
    tables: Tables,
}

impl OpenAiGateway {
    /// A gateway to the server of `config`; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// When the base URL is not one, or the key cannot stand in a header.
    pub fn new(config: OpenAiConfig) -> Result<Self, InvalidEndpoint> {
        let (endpoint, routes) = config.endpoint()?;
        Ok(Self {
            make: Make::of(&config.server, endpoint.host()),
            client: HttpClient::new(endpoint, config.timeouts, &config.network)?,
            routes,
            default_model: config.default_model().to_owned(),
            embedding_model: config.embedding_model,
            learnt: Arc::default(),
            tables: Tables::default(),
        })
    }

    fn endpoint(&self) -> &Endpoint {
        self.client.endpoint()
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self) -> &'static Make {
        self.make.or_else(|| self.learnt().make).unwrap_or(&UNKNOWN)
    }

    fn is(&self, make: &'static Make) -> bool {
        std::ptr::eq(self.make(), make)
    }

    fn named<'a>(&'a self, asked: &'a str) -> &'a str {
        if asked.is_empty() { &self.default_model } else { asked }
    }

    /// The model to ask for; empty only where the server knows one by itself.
    fn chat_model<'a>(&'a self, asked: &'a str) -> Result<&'a str, LlmError> {
        let model = self.named(asked);
        let (host, names) = (self.endpoint().host(), self.endpoint().names());
        if model.is_empty() && !self.is(&TABBYML) {
            let what = names.model.as_deref().map_or("name one", |_| "name one, or set ");
            let setting = names.model.as_deref().unwrap_or_default();
            let message = format!("no model is chosen for {host}; {what}{setting}");
            return Err(LlmError::new(LlmErrorKind::ModelNotFound, message));
        }
        // They would lead a path elsewhere.
        if matches!(model, "." | "..") {
            let message = format!("{host} has no model {model:?}; choose another one");
            return Err(LlmError::new(LlmErrorKind::ModelNotFound, message));
        }
        Ok(model)
    }

    fn dialect(&self, model: &str) -> Dialect {
        let known = self.learnt().dialect(model);
        known.unwrap_or_else(|| families::dialect(model, self.make()))
    }

    /// The events of an answer.
    fn answer(&self, bytes: ByteStream, shape: Shape, model: &str) -> ChatStream {
        let named = if model.is_empty() { self.make().name } else { model };
        let endpoint = Arc::clone(self.client.endpoint());
        let decoder = ChunkDecoder::new(endpoint, shape, named, call_prefix());
        let events = Answer::new(bytes, decoder).into_stream();
        if !self.is(&AZURE) {
            return events;
        }
        // What a deployment is says its answer; its name need not.
        let (learnt, deployment) = (Arc::clone(&self.learnt), model.to_owned());
        let noted = events.inspect_ok(move |event| {
            if let ChatEvent::Finished(finish) = event {
                let mut learnt = learnt.lock().unwrap_or_else(PoisonError::into_inner);
                learnt.serves(&deployment, &finish.model);
            }
        });
        noted.boxed()
    }

    async fn embed_batch(&self, model: &str, input: &[String]) -> Result<Embeddings, LlmError> {
        let path = self.routes.of_model(model, "/embeddings");
        let mut body = EmbeddingsRequest { model, input, encoding_format: Some("base64") };
        let response: EmbeddingsResponse = loop {
            match self.client.post_json(&path, &body).await {
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
        let path = self.routes.of_model(model, "/chat/completions");
        let mut dialect = self.dialect(model);
        loop {
            let body = request::chat(&request, model, &dialect);
            let refusal = match self.client.post_stream(&path, &body).await {
                Ok(bytes) => return Ok(self.answer(bytes, Shape::Choices, model)),
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
            self.learnt().remember(model, next.clone());
            dialect = next;
        }
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        self.fill(request).await
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let asked = Some(request.model.as_str()).filter(|model| !model.is_empty());
        let model = asked.or(self.embedding_model.as_deref()).filter(|_| !self.is(&TABBYML));
        let Some(model) = model else {
            let host = self.endpoint().host();
            let message = format!("no embedding model is chosen for {host}; name one");
            return Err(LlmError::new(LlmErrorKind::Unsupported, message));
        };
        let model = self.chat_model(model)?;
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
        self.list().await
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        let (model, make) = (self.named(model), self.make());
        let learnt = self.learnt();
        let served = learnt.served(model);
        let known = families::capabilities(served);
        let known = Capabilities { completion: make.fills_with(served), ..known };
        let told = learnt.capabilities(model, known);
        Capabilities {
            completion: told.completion && make.fills != Fills::No,
            tools: told.tools && make.tools,
            ..told
        }
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        let model = self.learnt().served(self.named(model)).to_owned();
        self.tables.counter(&model, self.make().is_openai())
    }
}

/// What begins the ids of one answer's tool calls; short enough for OpenAI's limit of 40.
fn call_prefix() -> String {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    format!("call_{random:016x}_")
}
