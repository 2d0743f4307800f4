//! The language-model port: one streaming call, embeddings, the list of models.
//!
//! It knows no provider and no wire. Retry, timeouts and routing are types that wrap a gateway.

mod error;
mod reply;
mod router;
mod tokens;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

pub use self::{
    error::{LlmError, LlmErrorKind},
    reply::{LlmGatewayExt, PartialReply, Reply, ready_stream},
    router::Router,
    tokens::{Estimate, TokenCounter, Tokens},
};
use crate::{
    chat::{Message, ToolCall, Usage},
    json::RawJson,
    tool::ToolSpec,
};

/// Everything a model needs for one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// Model name as the gateway knows it; empty for the gateway's default.
    pub model: String,
    /// The conversation, oldest first; shared with the history it came from.
    pub messages: Vec<Arc<Message>>,
    /// Tools the model may call.
    pub tools: Vec<ToolSpec>,
    /// How to sample.
    pub options: GenerationOptions,
}

/// How to sample an answer; `None` leaves the provider's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerationOptions {
    /// 0 to 2; 0 takes the likeliest token each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling, above 0 and at most 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Most tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Texts that end the answer and are not part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Makes sampling repeatable where the provider can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// OpenAI's `response_format` object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<RawJson>,
    /// `none`, `minimal`, `low`, `medium`, `high` and whatever the provider adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
}

/// One step of a model's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatEvent {
    /// What happens before the answer: a model is loaded or fetched.
    Progress(Progress),
    /// More text; never empty.
    Text(String),
    /// More reasoning; never empty.
    Reasoning(String),
    /// A fragment of a tool call, for clients that show it; the whole call follows.
    ToolCallDelta(ToolCallDelta),
    /// A complete tool call; adapters assemble fragments.
    ToolCall(ToolCall),
    /// What the answer cost so far; the last one counts.
    Usage(Usage),
    /// The last event of a successful answer.
    Finished(Finish),
}

/// How far the work before an answer has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is done, for people: `loading SmolLM2-135M-Instruct`.
    pub stage: String,
    /// Units done, of the same unit as `total`.
    pub done: u64,
    /// Units in all; 0 when not known.
    pub total: u64,
}

/// A fragment of a tool call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Position of the call in the answer, from 0.
    pub index: usize,
    /// The tool's name, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// More of the arguments' JSON text.
    pub arguments: String,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Why the model stopped.
    pub reason: FinishReason,
    /// The model that answered, as the provider names it.
    pub model: String,
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// It waits for tool results.
    ToolCalls,
    /// It hit the output limit.
    Length,
    /// The provider withheld the rest.
    ContentFilter,
}

/// The answer of a model, piece by piece.
///
/// # Contract
///
/// - a successful stream yields exactly one [`ChatEvent::Finished`], last;
/// - the first `Err` is the last item;
/// - ending without `Finished` and without `Err` is a bug of the adapter: a cut connection is
///   [`LlmErrorKind::Interrupted`];
/// - dropping the stream cancels the request upstream.
pub type ChatStream = BoxStream<'static, Result<ChatEvent, LlmError>>;

/// A text with a gap to fill, for models that complete code where the cursor stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompletionRequest {
    /// Model name as the gateway knows it; empty for the gateway's default.
    pub model: String,
    /// What stands before the gap.
    pub prefix: String,
    /// What stands after it; may be empty.
    pub suffix: String,
    /// The programming language, as editors name it; a hint for those who can use it.
    pub language: Option<String>,
    /// Most tokens to put in; `None` leaves the provider's default.
    pub max_tokens: Option<u32>,
    /// Texts that end what is put in and are no part of it.
    pub stop: Vec<String>,
}

/// Texts to turn into vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedRequest {
    /// Model name as the gateway knows it; empty for the gateway's default.
    pub model: String,
    /// The texts, in the order the vectors are wanted.
    pub inputs: Vec<String>,
}

/// One vector a text, in the order of the inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// The model that made them.
    pub model: String,
    /// Vectors of equal length.
    pub vectors: Vec<Vec<f32>>,
    /// What it cost.
    pub usage: Usage,
}

/// What can be asked for, and who could not be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelList {
    /// The models, the default first.
    pub models: Vec<ModelInfo>,
    /// Every provider of a router, the default first; empty where there is only one.
    pub providers: Vec<ProviderState>,
    /// Whether a provider alone may have more than it lists; a router says it of each provider.
    #[serde(default)]
    pub open: bool,
}

/// Whether a provider answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderState {
    /// Its name, as in `name/model`.
    pub name: String,
    /// Why its models could not be listed; `None` if they were.
    pub fault: Option<ProviderFault>,
    /// Whether it may have models that it does not list.
    #[serde(default)]
    pub open: bool,
}

/// Why a provider does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderFault {
    /// The stable code of the error's kind.
    pub code: String,
    /// One sentence that says what to do.
    pub message: String,
}

impl From<&LlmError> for ProviderFault {
    fn from(error: &LlmError) -> Self {
        Self { code: error.kind().code().to_owned(), message: error.to_string() }
    }
}

impl ModelList {
    /// The model that a name means: its whole id, or what follows the default provider's name. A
    /// tag `:latest` may be left out, and case counts only before the first `/`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ModelInfo> {
        let default = self.providers.first().map(|it| it.name.as_str());
        let is_meant = |id: &str| {
            let id = id.strip_suffix(":latest").unwrap_or(id);
            let name = name.strip_suffix(":latest").unwrap_or(name);
            let own = id.split_once('/').filter(|(provider, _)| Some(*provider) == default);
            is_same(id, name) || own.is_some_and(|it| it.1.eq_ignore_ascii_case(name))
        };
        self.models.iter().find(|it| is_meant(&it.id))
    }

    /// Whether any model of this provider is listed.
    #[must_use]
    pub fn has_models_of(&self, provider: &str) -> bool {
        let is_of = |id: &str| id.split_once('/').is_some_and(|(before, _)| before == provider);
        self.models.iter().any(|it| is_of(&it.id))
    }
}

fn is_same(id: &str, name: &str) -> bool {
    match (id.split_once('/'), name.split_once('/')) {
        (Some(id), Some(name)) => id.0 == name.0 && id.1.eq_ignore_ascii_case(name.1),
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => id.eq_ignore_ascii_case(name),
    }
}

impl From<Vec<ModelInfo>> for ModelList {
    fn from(models: Vec<ModelInfo>) -> Self {
        Self { models, ..Self::default() }
    }
}

/// A model that a gateway can reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name to ask for; a router puts `provider/` in front.
    pub id: String,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What a model can do, as far as the gateway knows.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether it answers chats.
    pub chat: bool,
    /// Whether it fills gaps in texts.
    #[serde(default)]
    pub completion: bool,
    /// Whether it makes embeddings.
    pub embeddings: bool,
    /// Whether it calls tools.
    pub tools: bool,
    /// Whether it reads pictures.
    pub vision: bool,
    /// Whether it computes in this process, at the cost of whatever else does.
    pub in_process: bool,
    /// Tokens of prompt and answer together; `None` when not known.
    pub context_tokens: Option<u32>,
}

/// Talks to language models.
///
/// # Contract
///
/// Every implementation and every wrapper passes `brain_testkit::llm_gateway_suite!`. In short:
/// the streams keep to [`ChatStream`], an error says what to do, and no error or `Debug` shows a
/// secret.
///
/// # Wrappers
///
/// A type that wraps another gateway forwards *every* method and carries
/// `#[deny(clippy::missing_trait_methods)]`.
///
/// ```
/// # use brain_core::{chat::Message, llm::{ChatRequest, LlmError, LlmGateway, LlmGatewayExt}};
/// async fn ask(llm: &dyn LlmGateway, question: &str) -> Result<String, LlmError> {
///     let messages = vec![Message::user(question).into()];
///     Ok(llm.complete(ChatRequest { messages, ..ChatRequest::default() }).await?.message.joined_text())
/// }
/// ```
#[async_trait]
pub trait LlmGateway: fmt::Debug + Send + Sync + 'static {
    /// Starts an answer. Dropping the future or the stream cancels the request.
    ///
    /// # Errors
    ///
    /// The outer error means that no answer began. Failures after that are items of the stream.
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError>;

    /// Starts to fill a gap; the stream has texts, usage and its end, and keeps to [`ChatStream`].
    ///
    /// # Errors
    ///
    /// [`LlmErrorKind::Unsupported`] where the provider has no such thing, as by
    /// [`LlmError::fills_no_gaps`].
    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError>;

    /// Turns texts into vectors.
    ///
    /// # Errors
    ///
    /// [`LlmErrorKind::Unsupported`] when the gateway has no such model.
    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError>;

    /// The models that can be asked for, the default first.
    ///
    /// # Errors
    ///
    /// When the provider cannot be asked.
    async fn models(&self) -> Result<ModelList, LlmError>;

    /// What a model can do, without asking anybody; the name may be empty for the default.
    fn capabilities(&self, model: &str) -> Capabilities;

    /// What counts a model's tokens, as far as it is known now; [`Estimate`] where nothing is.
    /// Returns at once: a table that must be loaded first is there for a later counter.
    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter>;
}
