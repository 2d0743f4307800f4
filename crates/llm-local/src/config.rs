//! What a [`LocalGateway`](crate::LocalGateway) is told; it reads no environment and no file.

use std::path::PathBuf;

/// Where the models are and how much they may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// The chat model, a `.gguf` file; `None` when there is none.
    pub chat_model: Option<PathBuf>,
    /// The embedding model, a folder with `model.safetensors`, `tokenizer.json` and
    /// `config.json`; `None` when there is none.
    pub embedding_model: Option<PathBuf>,
    /// Where converted models are kept; created when needed, and always safe to delete.
    pub cache_dir: PathBuf,
    /// Most tokens of prompt and answer together; the model's own limit holds where it is lower.
    pub context_tokens: u32,
    /// Most tokens of an answer whose request names no limit.
    pub answer_tokens: u32,
    /// Most requests that wait while another one is served, for chat and embeddings each.
    pub queue: usize,
}

impl LocalConfig {
    /// No models, a context of 8192 tokens, answers of at most 1024, eight waiting requests.
    #[must_use]
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            chat_model: None,
            embedding_model: None,
            cache_dir: cache_dir.into(),
            context_tokens: 8192,
            answer_tokens: 1024,
            queue: 8,
        }
    }
}
