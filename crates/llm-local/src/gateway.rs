//! The port: finds the models on disk, checks requests, hands them to the two lanes.
//!
//! It computes nothing and loads nothing itself.

use std::{
    fs::File,
    io::{
        self,
        ErrorKind::{IsADirectory, NotFound},
        Read as _,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use brain_core::{
    chat::Usage,
    llm::{
        Capabilities, ChatEvent, ChatRequest, ChatStream, CompletionRequest, EmbedRequest,
        Embeddings, Estimate, LlmError, LlmErrorKind, LlmGateway, ModelInfo, ModelList,
        TokenCounter,
    },
};
use futures_util::{StreamExt, stream};

use crate::{
    LocalConfig,
    chat_model::{ChatSettings, ChatWorker},
    embedder::{self, EmbedderSettings, EmbedderWorker},
    error,
    lane::{Inlet, Lane},
    last_load::LastLoad,
    request::Ask,
    tokens::LoadedCounter,
};

/// Texts that one embedding request may have.
const MAX_INPUTS: usize = 2048;

/// A small model in the process.
///
/// A new one is cheap: no file is opened and no thread started before the first request. The
/// model is loaded then, which the stream tells in [`ChatEvent::Progress`], and stays. One
/// request is answered at a time; a few wait, the others are refused as
/// [`LlmErrorKind::Overloaded`].
#[derive(Debug)]
pub struct LocalGateway {
    chat: Option<Chat>,
    embedding: Option<Embedding>,
}

#[derive(Debug)]
struct Chat {
    id: String,
    path: PathBuf,
    limit: u32,
    loaded_context: Arc<AtomicU32>,
    counter: LoadedCounter,
    last_load: LastLoad,
    lane: Lane<ChatWorker>,
}

#[derive(Debug)]
struct Embedding {
    id: String,
    path: PathBuf,
    loaded: Arc<AtomicBool>,
    lane: Lane<EmbedderWorker>,
}

/// What [`LocalGateway::status`] tells; `None` where no model is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalStatus {
    /// The chat model.
    pub chat: Option<ModelStatus>,
    /// The embedding model.
    pub embedding: Option<ModelStatus>,
}

/// One model, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatus {
    /// The name to ask for.
    pub id: String,
    /// The file or folder.
    pub path: PathBuf,
    /// Bytes on disk; `None` when it is not there.
    pub bytes: Option<u64>,
    /// Whether it is in memory.
    pub loaded: bool,
}

impl LocalGateway {
    /// A gateway to the configured models.
    #[must_use]
    pub fn new(config: LocalConfig) -> Self {
        let chat = config.chat_model.as_deref().map(|path| Chat::new(path, &config));
        let embedding = config.embedding_model.map(|path| Embedding::new(path, config.queue));
        Self { chat, embedding }
    }

    /// What is installed and what is loaded; asks the file system, not the models.
    #[must_use]
    pub fn status(&self) -> LocalStatus {
        LocalStatus {
            chat: self.chat.as_ref().map(|it| ModelStatus {
                id: it.id.clone(),
                path: it.path.clone(),
                bytes: file_size(&it.path),
                loaded: it.loaded_context.load(Ordering::Relaxed) > 0,
            }),
            embedding: self.embedding.as_ref().map(|it| ModelStatus {
                id: it.id.clone(),
                path: it.path.clone(),
                bytes: embedder::FILES.iter().map(|name| file_size(&it.path.join(name))).sum(),
                loaded: it.loaded.load(Ordering::Relaxed),
            }),
        }
    }

    fn chat(&self, model: &str) -> Result<&Chat, LlmError> {
        let chat = self.chat.as_ref().ok_or_else(|| error::no_chat_model(None))?;
        if !is(&chat.id, model) {
            return Err(error::unknown_model(model, &chat.id));
        }
        match begins_as_gguf(&chat.path) {
            Ok(true) => Ok(chat),
            Ok(false) => Err(error::damaged(&chat.path, "it does not begin as a GGUF file does")),
            Err(source) if matches!(source.kind(), NotFound | IsADirectory) => {
                Err(error::no_chat_model(Some(&chat.path)))
            }
            Err(source) => Err(error::unreadable(&chat.path, source)),
        }
    }

    fn embedding(&self, model: &str) -> Result<&Embedding, LlmError> {
        let Some(embedding) = &self.embedding else {
            return Err(error::no_embedding_model(None));
        };
        if !is(&embedding.id, model) {
            let message =
                format!("there is no local embedding model `{model}`; there is `{}`", embedding.id);
            return Err(LlmError::new(LlmErrorKind::Unsupported, message));
        }
        let missing = embedder::FILES
            .iter()
            .map(|name| embedding.path.join(name))
            .find(|it| file_size(it).is_none());
        match missing {
            Some(path) => Err(error::no_embedding_model(Some(&path))),
            None => Ok(embedding),
        }
    }
}

impl Chat {
    fn new(path: &Path, config: &LocalConfig) -> Self {
        let loaded_context = Arc::new(AtomicU32::new(0));
        let settings = ChatSettings {
            id: chat_id(path),
            path: path.to_owned(),
            cache_dir: config.cache_dir.clone(),
            context_tokens: config.context_tokens,
            answer_tokens: config.answer_tokens.max(1),
            loaded_context: Arc::clone(&loaded_context),
            counter: LoadedCounter::default(),
            last_load: LastLoad::default(),
        };
        Self {
            id: settings.id.clone(),
            path: settings.path.clone(),
            limit: config.context_tokens,
            loaded_context,
            counter: settings.counter.clone(),
            last_load: settings.last_load.clone(),
            lane: Lane::new("local-chat", config.queue, move || ChatWorker::new(settings.clone())),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let loaded = self.loaded_context.load(Ordering::Relaxed);
        let context = if loaded > 0 { loaded } else { self.limit };
        let context_tokens = Some(context);
        Capabilities { chat: true, in_process: true, context_tokens, ..Capabilities::default() }
    }
}

impl Embedding {
    fn new(path: PathBuf, queue: usize) -> Self {
        let id = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().to_lowercase();
        let loaded = Arc::new(AtomicBool::new(false));
        let settings =
            EmbedderSettings { id: id.clone(), path: path.clone(), loaded: Arc::clone(&loaded) };
        let lane =
            Lane::new("local-embedding", queue, move || EmbedderWorker::new(settings.clone()));
        Self { id, path, loaded, lane }
    }
}

const EMBEDDING_CAPABILITIES: Capabilities = Capabilities {
    chat: false,
    completion: false,
    embeddings: true,
    tools: false,
    vision: false,
    in_process: true,
    context_tokens: Some(256),
};

#[async_trait]
impl LlmGateway for LocalGateway {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        let chat = self.chat(&request.model)?;
        let inlet = chat.lane.submit(Ask::try_from(request)?)?;
        Ok(answer(inlet))
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        Err(LlmError::fills_no_gaps(&request.model))
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        let embedding = self.embedding(&request.model)?;
        if request.inputs.len() > MAX_INPUTS {
            let message =
                format!("{} texts are too many; send at most {MAX_INPUTS}", request.inputs.len());
            return Err(error::rejected(message));
        }
        if request.inputs.is_empty() {
            return Ok(Embeddings {
                model: embedding.id.clone(),
                vectors: Vec::new(),
                usage: Usage::default(),
            });
        }
        let mut inlet = embedding.lane.submit(request.inputs)?;
        inlet.recv().await.unwrap_or_else(|| Err(error::stopped()))
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        let chat = match self.chat("") {
            Err(error) if error.kind() != LlmErrorKind::ModelNotFound => return Err(error),
            found => found.ok(),
        };
        if let Some(failure) = chat.and_then(|it| it.last_load.failure(&it.path)) {
            return Err(failure);
        }
        let chat = chat.map(|it| ModelInfo { id: it.id.clone(), capabilities: it.capabilities() });
        let embedding = self.embedding("").ok();
        let embedding = embedding
            .map(|it| ModelInfo { id: it.id.clone(), capabilities: EMBEDDING_CAPABILITIES });
        let models: Vec<_> = chat.into_iter().chain(embedding).collect();
        Ok(models.into())
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        let chat = self.chat.as_ref().filter(|it| is(&it.id, model)).map(Chat::capabilities);
        let embedding = self.embedding.as_ref().filter(|it| is(&it.id, model));
        chat.or(embedding.map(|_| EMBEDDING_CAPABILITIES)).unwrap_or_default()
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        let chat = self.chat.as_ref().filter(|it| is(&it.id, model));
        chat.map_or_else(Estimate::counter, |it| it.counter.get())
    }
}

/// Keeps the contract of [`ChatStream`] even when the worker's thread ends: then the stream ends
/// in an error.
fn answer(inlet: Inlet<ChatEvent>) -> ChatStream {
    let next = |inlet: Option<Inlet<ChatEvent>>| async {
        let mut inlet = inlet?;
        let item = inlet.recv().await.unwrap_or_else(|| Err(error::stopped()));
        let last = matches!(item, Err(_) | Ok(ChatEvent::Finished(_)));
        Some((item, (!last).then_some(inlet)))
    };
    stream::unfold(Some(inlet), next).boxed()
}

/// Whether `model` asks for the model `id`; an empty name asks for any.
fn is(id: &str, model: &str) -> bool {
    model.is_empty() || model.eq_ignore_ascii_case(id)
}

/// The name of the chat model in this file, whose case does not matter:
/// `SmolLM2-135M-Instruct.Q4_1.gguf` is `smollm2-135m-instruct`. How a file is quantised is not the
/// model's name.
#[must_use]
pub fn chat_id(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = match stem.rsplit_once(['.', '-']) {
        Some((name, quantisation)) if is_quantisation(quantisation) => name,
        Some(_) | None => &stem,
    };
    name.to_lowercase()
}

fn is_quantisation(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let digits =
        text.trim_start_matches("IQ").trim_start_matches(['Q', 'F']).trim_start_matches("BF");
    digits.len() < text.len() && digits.starts_with(|it: char| it.is_ascii_digit())
}

/// Whether the file begins with GGUF's magic number; four bytes are read.
fn begins_as_gguf(path: &Path) -> io::Result<bool> {
    let mut begin = Vec::with_capacity(4);
    File::open(path)?.take(4).read_to_end(&mut begin)?;
    Ok(begin == b"GGUF")
}

fn file_size(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|it| it.len())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::chat_id;

    #[test]
    fn a_model_is_named_after_its_file_without_the_quantisation() {
        let check = |file: &str, id: &str| assert_eq!(chat_id(Path::new(file)), id, "{file}");
        check("/m/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct");
        check("SmolLM2-360M-Instruct-Q4_K_M.gguf", "smollm2-360m-instruct");
        check("SmolLM2-1.7B-Instruct.gguf", "smollm2-1.7b-instruct");
        check("model-F16.gguf", "model");
        check("model-bf16.gguf", "model");
        check("model.iq4_xs.gguf", "model");
        check("quick.gguf", "quick");
    }
}
