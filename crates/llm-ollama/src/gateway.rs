//! The port over one server: chooses the model, and pulls it first where it is missing.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use brain_core::{
    chat::Usage,
    llm::{
        Capabilities, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
        Estimate, LlmError, LlmErrorKind, LlmGateway, ModelInfo, ModelList, TokenCounter,
    },
};
use futures_util::{StreamExt, TryFutureExt, stream};
use llm_http::InvalidEndpoint;

use crate::{
    OllamaConfig, failure,
    profile::full_name,
    server::{Server, Stop},
};

/// Most texts in one request for embeddings.
const MAX_INPUTS: usize = 256;

/// How many models are asked about at once.
const ASKED_AT_ONCE: usize = 8;

/// An Ollama server.
///
/// # Contract
///
/// A model that the server does not have is pulled by the first request that names it, unless the
/// configuration forbids it. All requests that wait for it show the progress; when the last of them is
/// dropped, the pull ends, and a later one goes on from there. Every request of this gateway for a
/// model has the same length of context, so that the server does not load it anew.
#[derive(Debug)]
pub struct OllamaGateway {
    server: Arc<Server>,
    default_model: String,
    embedding_model: Option<String>,
    may_pull: bool,
}

impl OllamaGateway {
    /// A gateway to the server of `config`; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// When the base URL is not one, or the key cannot stand in a header.
    pub fn new(config: OllamaConfig) -> Result<Self, InvalidEndpoint> {
        Ok(Self {
            server: Arc::new(Server::new(&config)?),
            default_model: config.default_model,
            embedding_model: config.embedding_model,
            may_pull: config.may_pull,
        })
    }

    fn chat_model(&self, asked: &str) -> Result<String, LlmError> {
        let model = if asked.is_empty() { &self.default_model } else { asked };
        if model.is_empty() {
            let host = self.server.endpoint().host();
            let message = format!("no model is chosen for {host}; name one");
            return Err(LlmError::new(LlmErrorKind::ModelNotFound, message));
        }
        Ok(model.to_owned())
    }

    /// The answer to `ask`, after a pull if there must be one.
    async fn answer(&self, ask: Ask) -> Result<ChatStream, LlmError> {
        match ask.of(&self.server).await {
            Ok(stream) => Ok(stream),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Missing(refusal)) if !self.may_pull => {
                Err(failure::missing(self.server.endpoint(), &ask.model, *refusal))
            }
            Err(Stop::Missing(_)) => Ok(pulled_first(Arc::clone(&self.server), ask)),
        }
    }

    async fn embed_batch(&self, model: &str, input: &[String]) -> Result<Embeddings, LlmError> {
        let endpoint = self.server.endpoint();
        match self.server.embed(model, input).await {
            Err(Stop::Missing(_)) if self.may_pull => {
                self.server.pulls.join(model).finish().await?;
                let again = self.server.embed(model, input).await;
                again.map_err(|stop| stop.into_error(endpoint, model))
            }
            first => first.map_err(|stop| stop.into_error(endpoint, model)),
        }
    }
}

/// What is asked of a model.
struct Ask {
    model: String,
    what: What,
}

enum What {
    Chat(ChatRequest),
    Fill(CompletionRequest),
}

impl Ask {
    async fn of(&self, server: &Server) -> Result<ChatStream, Stop> {
        match &self.what {
            What::Chat(request) => server.chat(request, &self.model).await,
            What::Fill(request) => server.complete(request, &self.model).await,
        }
    }
}

/// The progress of the pull, then the answer; the first failure ends it.
fn pulled_first(server: Arc<Server>, ask: Ask) -> ChatStream {
    let pulling = server.pulls.join(&ask.model).into_stream();
    let answer = async move {
        let answer = ask.of(&server).await;
        answer.map_err(|stop| stop.into_error(server.endpoint(), &ask.model))
    };
    let whole = pulling.chain(answer.try_flatten_stream()).boxed();
    let items = stream::unfold(Some(whole), |whole| async move {
        let mut whole = whole?;
        let item = whole.next().await?;
        let rest = item.is_ok().then_some(whole);
        Some((item, rest))
    });
    items.boxed()
}

#[async_trait]
impl LlmGateway for OllamaGateway {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        let model = self.chat_model(&request.model)?;
        self.answer(Ask { model, what: What::Chat(request) }).await
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        let model = self.chat_model(&request.model)?;
        self.answer(Ask { model, what: What::Fill(request) }).await
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let asked = Some(request.model.as_str()).filter(|model| !model.is_empty());
        let Some(model) = asked.or(self.embedding_model.as_deref()) else {
            let host = self.server.endpoint().host();
            let message = format!("no embedding model is chosen for {host}; name one");
            return Err(LlmError::new(LlmErrorKind::Unsupported, message));
        };
        let mut all = Embeddings {
            model: model.to_owned(),
            vectors: Vec::with_capacity(request.inputs.len()),
            usage: Usage::default(),
        };
        for batch in request.inputs.chunks(MAX_INPUTS) {
            let made = self.embed_batch(model, batch).await?;
            all.vectors.extend(made.vectors);
            all.usage += made.usage;
        }
        Ok(all)
    }

    /// The models that the server has, and the default, which it may have yet to pull.
    async fn models(&self) -> Result<ModelList, LlmError> {
        let installed = self.server.installed().await?;
        let mut seen = HashSet::from([full_name(&self.default_model)]);
        let default = Some(self.default_model.clone()).filter(|it| !it.is_empty());
        let others = installed.into_iter().filter(|it| seen.insert(full_name(it)));
        let ids: Vec<String> = default.into_iter().chain(others).collect();
        let asking =
            stream::iter(&ids).for_each_concurrent(ASKED_AT_ONCE, |id| self.server.learn(id));
        asking.await;
        let models =
            ids.into_iter().map(|id| ModelInfo { capabilities: self.capabilities(&id), id });
        let (models, open) = (models.collect(), self.may_pull);
        Ok(ModelList { models, open, ..ModelList::default() })
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        let model = if model.is_empty() { &self.default_model } else { model };
        self.server.capabilities(model)
    }

    /// Ollama counts for nobody, and which tokenizer a model has is not to be had.
    fn tokens(&self, _model: &str) -> Arc<dyn TokenCounter> {
        Estimate::counter()
    }
}
