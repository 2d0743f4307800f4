//! One Ollama server: what is asked of it, and what was learnt of it and its models.
//!
//! It knows nothing of defaults and of pulling first; that is the gateway's business.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use brain_core::{
    chat::Message,
    llm::{
        Capabilities, ChatRequest, ChatStream, CompletionRequest, Embeddings, LlmError,
        LlmErrorKind,
    },
};
use futures_util::future;
use llm_http::{CallError, Endpoint, HttpClient, InvalidEndpoint, Refusal};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    answer::Answer,
    config::{KeepAlive, OllamaConfig},
    decode::LineDecoder,
    embeddings,
    failure::{self, shown},
    profile::{Profile, full_name},
    prompt::Prompt,
    pull::Pulls,
    request::{self, Setting},
    version::Version,
    wire::{
        EmbedBody, EmbedResponse, RunOptions, ShowBody, ShowResponse, TagsResponse, VersionResponse,
    },
};

/// Most models that are remembered; their names come from clients, so there must be a bound.
const MAX_PROFILES: usize = 1_024;

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The server does not have the model.
    Missing(Box<Refusal>),
    /// Anything else.
    Failed(LlmError),
}

impl Stop {
    /// As the port's error, where nothing is pulled any more.
    pub(crate) fn into_error(self, endpoint: &Endpoint, model: &str) -> LlmError {
        match self {
            Self::Missing(refusal) => failure::missing(endpoint, model, *refusal),
            Self::Failed(error) => error,
        }
    }
}

impl From<LlmError> for Stop {
    fn from(error: LlmError) -> Self {
        Self::Failed(error)
    }
}

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    client: HttpClient,
    pub(crate) pulls: Pulls,
    keep_alive: Option<KeepAlive>,
    num_ctx: Option<u32>,
    version: Mutex<Option<Version>>,
    /// By full name.
    profiles: Mutex<HashMap<String, Known>>,
}

/// What is remembered of a model.
#[derive(Clone, Copy, Debug)]
struct Known {
    profile: Profile,
    /// The server had lost the model; it may be another one under this name now.
    is_stale: bool,
}

impl Server {
    pub(crate) fn new(config: &OllamaConfig) -> Result<Self, InvalidEndpoint> {
        let endpoint = config.endpoint()?;
        let pulling = HttpClient::new(endpoint.clone(), config.pull_timeouts(), &config.network)?;
        Ok(Self {
            client: HttpClient::new(endpoint, config.timeouts, &config.network)?,
            pulls: Pulls::new(pulling),
            keep_alive: config.keep_alive,
            num_ctx: config.num_ctx,
            version: Mutex::default(),
            profiles: Mutex::default(),
        })
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        self.client.endpoint()
    }

    /// What a model can do, as far as it was learnt.
    pub(crate) fn capabilities(&self, model: &str) -> Capabilities {
        let known = self.known(&full_name(model));
        known.map_or_else(|| Profile::assumed(model, self.num_ctx), |it| it.profile.capabilities)
    }

    /// Starts an answer of `model`.
    pub(crate) async fn chat(
        &self,
        request: &ChatRequest,
        model: &str,
    ) -> Result<ChatStream, Stop> {
        let setting = self.setting(model).await?;
        let body = request::chat(request, model, &setting)?;
        if body.tools.len() < request.tools.len() {
            tracing::warn!(model, "the model takes no tools; asking without");
        }
        let tool_bytes = serde_json::to_string(&body.tools).map_or(0, |it| it.len());
        let prompt = prompt(request.messages.clone(), &setting).with_tools(tool_bytes);
        self.answer("/api/chat", &body, model, prompt).await
    }

    /// Starts to fill a gap.
    pub(crate) async fn complete(
        &self,
        request: &CompletionRequest,
        model: &str,
    ) -> Result<ChatStream, Stop> {
        let setting = self.setting(model).await?;
        if !setting.profile.capabilities.completion {
            let message = format!(
                "`{}` fills no gaps; choose a model whose `completion` is true",
                shown(model)
            );
            return Err(LlmError::new(LlmErrorKind::Unsupported, message).into());
        }
        let body = request::generate(request, model, &setting);
        let text = Message::user(format!("{}{}", request.prefix, request.suffix));
        self.answer("/api/generate", &body, model, prompt(vec![text.into()], &setting)).await
    }

    /// The vectors of these texts.
    pub(crate) async fn embed(&self, model: &str, input: &[String]) -> Result<Embeddings, Stop> {
        let num_ctx = self.profile(model).await?.num_ctx;
        let options = RunOptions { num_ctx, ..RunOptions::default() };
        let body = EmbedBody { model, input, truncate: true, keep_alive: self.keep_alive, options };
        let response: Result<EmbedResponse, _> = self.client.post_json("/api/embed", &body).await;
        let response = response.map_err(|error| self.stop(model, error))?;
        Ok(embeddings::read(self.endpoint(), model, response, input.len())?)
    }

    /// The names of the models that the server has.
    pub(crate) async fn installed(&self) -> Result<Vec<String>, LlmError> {
        let tags: Result<TagsResponse, _> = self.client.get_json("/api/tags").await;
        let tags = tags.map_err(|error| self.failed(error))?;
        Ok(tags.models.unwrap_or_default().into_iter().map(|it| it.name).collect())
    }

    /// Learns what a model can do, unless that is known; a model that cannot be asked about stays
    /// unknown.
    pub(crate) async fn learn(&self, model: &str) {
        match self.profile(model).await {
            Ok(_) => {}
            Err(Stop::Missing(refusal)) => tracing::debug!(model, %refusal, "no such model"),
            Err(Stop::Failed(error)) => {
                tracing::warn!(model, %error, "could not ask about a model");
            }
        }
    }

    async fn answer(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        model: &str,
        prompt: Prompt,
    ) -> Result<ChatStream, Stop> {
        let bytes = self.client.post_stream(path, body).await;
        let bytes = bytes.map_err(|error| self.stop(model, error))?;
        let endpoint = Arc::clone(self.endpoint());
        let decoder = LineDecoder::new(endpoint, model, call_prefix(), prompt);
        Ok(Answer::new(bytes, decoder).into_stream())
    }

    async fn setting(&self, model: &str) -> Result<Setting, Stop> {
        let (profile, version) = future::join(self.profile(model), self.version()).await;
        Ok(Setting { profile: profile?, version, keep_alive: self.keep_alive })
    }

    /// What is known of a model; asks the server once. The length of its context stays what it was
    /// first, since the server loads the model anew for another one.
    async fn profile(&self, model: &str) -> Result<Profile, Stop> {
        let name = full_name(model);
        let known = self.known(&name);
        if let Some(known) = known.filter(|it| !it.is_stale) {
            return Ok(known.profile);
        }
        let show: Result<ShowResponse, _> =
            self.client.post_json("/api/show", &ShowBody { model }).await;
        let show = show.map_err(|error| self.stop(model, error))?;
        let before = known.and_then(|it| it.profile.num_ctx);
        let profile = Profile::read(&show, before.or(self.num_ctx));
        Ok(self.remember(name, profile))
    }

    /// Remembers a profile, unless another request has been faster: all use the same. Any other one
    /// makes room where there are too many.
    fn remember(&self, name: String, profile: Profile) -> Profile {
        let mut profiles = self.profiles();
        if let Some(known) = profiles.get(&name).filter(|it| !it.is_stale) {
            return known.profile;
        }
        if MAX_PROFILES <= profiles.len() && !profiles.contains_key(&name) {
            let other = profiles.keys().next().cloned();
            other.and_then(|it| profiles.remove(&it));
        }
        profiles.insert(name, Known { profile, is_stale: false });
        profile
    }

    /// The server's version; asks once, and again where it could not be had.
    async fn version(&self) -> Option<Version> {
        let known = *self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some() {
            return known;
        }
        let said: Result<VersionResponse, _> = self.client.get_json("/api/version").await;
        let version = said.ok().and_then(|it| Version::parse(&it.version));
        if version.is_none() {
            tracing::debug!(host = self.endpoint().host(), "the server does not say its version");
        }
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
        version
    }

    fn known(&self, name: &str) -> Option<Known> {
        self.profiles().get(name).copied()
    }

    fn profiles(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.profiles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a call about `model` failed; a model that is missing is asked about again once it is there.
    fn stop(&self, model: &str, error: CallError) -> Stop {
        match error {
            CallError::Refused(refusal) if failure::is_missing(&refusal) => {
                if let Some(known) = self.profiles().get_mut(&full_name(model)) {
                    known.is_stale = true;
                }
                Stop::Missing(refusal)
            }
            error => Stop::Failed(self.failed(error)),
        }
    }

    fn failed(&self, error: CallError) -> LlmError {
        match error {
            CallError::Refused(refusal) => failure::refused(self.endpoint(), *refusal),
            CallError::Failed(error) => error,
        }
    }
}

fn prompt(messages: Vec<Arc<Message>>, setting: &Setting) -> Prompt {
    let counts_cached = setting.version.is_some_and(Version::counts_cached);
    Prompt::new(messages, setting.profile.num_ctx, counts_cached)
}

/// What begins the ids of one answer's tool calls.
fn call_prefix() -> String {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    format!("call_{random:016x}_")
}

#[cfg(test)]
mod tests {
    use super::{MAX_PROFILES, Server};
    use crate::{config::OllamaConfig, profile::Profile, wire::ShowResponse};

    #[test]
    fn a_new_model_is_remembered_however_many_there_are() {
        let server = Server::new(&OllamaConfig::new("http://localhost:1", "m")).unwrap();
        let profile = Profile::read(&ShowResponse::default(), None);
        for count in 0..2 * MAX_PROFILES {
            let name = format!("model:{count}");
            server.remember(name.clone(), profile);
            assert!(server.known(&name).is_some());
        }
        assert_eq!(server.profiles().len(), MAX_PROFILES);
    }
}
