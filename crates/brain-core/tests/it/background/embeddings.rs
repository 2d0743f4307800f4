//! Embeddings: everything that was said gets one, a failing model is not pestered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use brain_core::{
    brain::{Brain, BrainConfig},
    llm::{
        Capabilities, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
        LlmError, LlmErrorKind, LlmGateway, ModelList, TokenCounter,
    },
    memory::{InMemoryStore, MemoryStore, Recall},
};
use brain_testkit::ScriptedLlm;

use super::{config, eventually};
use crate::fixture::{in_memory, ports, say};

/// Fails as often as it is told, and refuses texts with a certain word.
#[derive(Debug)]
struct Embedder {
    inner: ScriptedLlm,
    failures: AtomicUsize,
    asked: AtomicUsize,
}

impl Embedder {
    fn failing(failures: usize) -> Arc<Self> {
        let (failures, asked) = (AtomicUsize::new(failures), AtomicUsize::new(0));
        Arc::new(Self { inner: ScriptedLlm::echo(), failures, asked })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl LlmGateway for Embedder {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        self.inner.stream(request).await
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        self.inner.complete_text(request).await
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, LlmError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let left =
            self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
        if left.is_ok() {
            return Err(LlmError::new(LlmErrorKind::Unavailable, "away"));
        }
        if request.inputs.iter().any(|it| it.contains("poison")) {
            return Err(LlmError::new(LlmErrorKind::Rejected, "no"));
        }
        self.inner.embed(request).await
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        self.inner.models().await
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.inner.capabilities(model)
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        self.inner.tokens(model)
    }
}

fn embedding(store: Arc<dyn MemoryStore>, llm: Arc<dyn LlmGateway>) -> Brain {
    let embedding_model = Some("scripted".to_owned());
    Brain::new(ports(store, llm), BrainConfig { embedding_model, ..config() })
}

async fn missing(store: &InMemoryStore) -> usize {
    store.unembedded("scripted", 1_000).await.unwrap().len()
}

#[tokio::test]
async fn what_is_said_before_and_after_the_start_is_embedded() {
    let (store, llm) = (in_memory(), Embedder::failing(0));
    let brain = embedding(store.clone(), llm.clone());
    for turn in 0..20 {
        say(&brain, "s", &format!("message {turn}")).await;
    }
    assert_eq!((missing(&store).await, llm.asked()), (40, 0));
    brain.start_upkeep();
    eventually("the embeddings", || async { missing(&store).await == 0 }).await;
    assert_eq!(llm.asked(), 3, "in batches of sixteen");
    say(&brain, "s", "and more").await;
    eventually("the embeddings", || async { missing(&store).await == 0 }).await;
    brain.drain(Duration::from_secs(5)).await;
    let after = llm.asked();
    say_elsewhere(&store, &llm).await;
    // Longer than the loop waits before it looks again.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(llm.asked(), after, "nothing goes on after the end");
}

async fn say_elsewhere(store: &Arc<InMemoryStore>, llm: &Arc<Embedder>) {
    let other = embedding(store.clone(), llm.clone());
    say(&other, "t", "not embedded").await;
    assert_eq!(missing(store).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_is_asked_ever_more_rarely() {
    let (store, llm) = (in_memory(), Embedder::failing(usize::MAX));
    let brain = embedding(store.clone(), llm.clone());
    say(&brain, "s", "hello").await;
    brain.start_upkeep();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!((10..25).contains(&llm.asked()), "{} times in an hour", llm.asked());
    assert_eq!(missing(&store).await, 2);
    llm.failures.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!(missing(&store).await, 0);
    brain.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_text_that_is_refused_keeps_no_other_waiting() {
    let (store, llm) = (in_memory(), Embedder::failing(0));
    let brain = embedding(store.clone(), llm.clone());
    say(&brain, "s", "this is poison").await;
    say(&brain, "s", "this is not").await;
    brain.start_upkeep();
    eventually("the embeddings", || async { missing(&store).await == 0 }).await;
    brain.drain(Duration::from_secs(5)).await;
}
