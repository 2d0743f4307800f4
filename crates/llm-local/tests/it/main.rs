//! The local models, on the real files.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod chat;
mod embeddings;
mod files;
mod suite;
mod tiny;
mod tokens;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use brain_core::{
    chat::Message,
    llm::{ChatRequest, GenerationOptions, LlmGatewayExt, Reply},
};
use llm_local::{LocalConfig, LocalGateway};

/// One gateway for all tests of a process, so that the model is loaded once.
static GATEWAY: LazyLock<Arc<LocalGateway>> =
    LazyLock::new(|| Arc::new(LocalGateway::new(config(64))));

fn config(queue: usize) -> LocalConfig {
    LocalConfig {
        chat_model: Some(chat_model()),
        embedding_model: Some(models().join("all-MiniLM-L6-v2")),
        queue,
        ..LocalConfig::new(cache())
    }
}

/// Kept between runs: converting the model takes a while.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("models")
}

fn models() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "only the environment knows where the models of a test run are"
    )]
    let folder = std::env::var("CODEXD_TEST_MODEL_DIR");
    let folder = folder.map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/models"),
        PathBuf::from,
    );
    assert!(folder.is_dir(), "there are no models in {}; run scripts/get-model", folder.display());
    folder
}

fn chat_model() -> PathBuf {
    let path = models().join("SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.is_file(), "there is no model at {}; run scripts/get-model", path.display());
    path
}

fn request(messages: Vec<Message>, options: GenerationOptions) -> ChatRequest {
    ChatRequest {
        messages: messages.into_iter().map(Arc::new).collect(),
        options,
        ..ChatRequest::default()
    }
}

/// Options for an answer of at most `tokens` that is the same each time.
fn short(tokens: u32) -> GenerationOptions {
    GenerationOptions {
        temperature: Some(0.),
        max_tokens: Some(tokens),
        ..GenerationOptions::default()
    }
}

async fn ask(messages: Vec<Message>, options: GenerationOptions) -> Reply {
    GATEWAY.complete(request(messages, options)).await.expect("an answer")
}
