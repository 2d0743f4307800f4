//! What happens behind the turns: summaries, titles, embeddings, forgetting by age.

mod embeddings;
mod retention;
mod summaries;
mod titles;

use std::{sync::Arc, time::Duration};

use brain_core::{
    brain::{Brain, BrainConfig, Limits},
    llm::{Capabilities, LlmGateway, ModelInfo, Router},
    memory::MemoryStore,
};
use brain_testkit::ScriptedLlm;

use crate::fixture::ports;

/// A model for chats that repeats what it is told, with a small context, and another one, named
/// `other`, for everything else.
fn router(other: Arc<dyn LlmGateway>) -> Arc<Router> {
    let capabilities =
        Capabilities { chat: true, context_tokens: Some(400), ..Capabilities::default() };
    let model = ModelInfo { id: "small".to_owned(), capabilities };
    let chat = ScriptedLlm::echo().with_models([model]);
    Arc::new(Router::new("chat", Arc::new(chat)).with("other", other))
}

fn config() -> BrainConfig {
    let limits = Limits { output_tokens: 50, ..Limits::default() };
    BrainConfig { limits, ..BrainConfig::default() }
}

/// A brain whose summaries are made by `other`.
fn summarising(store: Arc<dyn MemoryStore>, other: &ScriptedLlm) -> Brain {
    let config = BrainConfig { summary_model: Some("other/scripted".to_owned()), ..config() };
    Brain::new(ports(store, router(Arc::new(other.clone()))), config)
}

/// Returns once `done` says so; a test waits for nothing longer than ten seconds.
async fn eventually<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    for _ in 0..2_000 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} did not come");
}
