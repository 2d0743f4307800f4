//! Recalling: what other sessions hold helps to answer, is cited, and is never stored anew.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use brain_core::{
    brain::{Brain, BrainConfig, TurnEnd, TurnRequest},
    llm::{
        Capabilities, ChatRequest, ChatStream, CompletionRequest, EmbedRequest, Embeddings,
        LlmError, LlmGateway, ModelList, TokenCounter,
    },
    memory::{Catalog, MemoryErrorKind, SessionPatch, TurnState},
    window::RecallState,
};
use brain_testkit::{FaultyStore, Operation, ScriptedLlm};
use futures_util::future;

use crate::fixture::{brain, history, id, in_memory, key, owner, ports, say};

async fn ask(brain: &Brain, session: &str, text: &str, recall: Option<bool>) -> TurnEnd {
    let request = TurnRequest { recall, ..TurnRequest::text(Some(id(session)), text) };
    brain.chat(&owner(), request).await.unwrap().events.end().await.unwrap()
}

fn sent(llm: &ScriptedLlm) -> String {
    let request = llm.requests().pop().unwrap();
    request.messages.iter().map(|it| it.joined_text() + "\n").collect()
}

#[tokio::test]
async fn what_another_session_holds_is_shown_marked_cited_and_not_stored() {
    let (store, llm) = (in_memory(), Arc::new(ScriptedLlm::echo()));
    let brain = brain(store.clone(), llm.clone());
    say(&brain, "home", "My flat in Lisbon has a balcony").await;
    let title = Some(Some("Where I live".to_owned()));
    store.patch(&key("home"), SessionPatch { title, ..SessionPatch::default() }).await.unwrap();

    let end = ask(&brain, "s", "What does my flat in Lisbon have?", Some(true)).await;
    let context = end.context.unwrap();
    assert_eq!(context.recall, Some(RecallState::WordsOnly));
    let cited: Vec<(&str, u64)> =
        context.recalled.iter().map(|it| (it.session_id.as_str(), it.seq.0)).collect();
    assert!(cited.contains(&("home", 1)), "{cited:?}");
    assert!(cited.iter().all(|it| it.0 == "home"), "the question is not its own answer");
    let elsewhere = crate::fixture::brain(store.clone(), llm.clone());
    let stored = elsewhere.turn(&owner(), end.turn_id).await.unwrap().unwrap().record;
    assert_eq!(stored.context.as_ref(), Some(&context), "after a restart too");
    let told = elsewhere.listen(&owner(), end.turn_id, 0).await.unwrap().unwrap();
    assert_eq!(told.end().await.unwrap().context.as_ref(), Some(&context));
    let text = sent(&llm);
    assert!(text.contains("in \"Where I live\", user]\nMy flat in Lisbon has a balcony"), "{text}");
    let stored = history(&*store, "s").await;
    assert_eq!(stored[0].body.message.joined_text(), "What does my flat in Lisbon have?");

    let again = ask(&brain, "s", "And my flat in Lisbon?", None).await;
    assert!(!again.context.unwrap().recalled.is_empty(), "it is kept with the session");
    let off = ask(&brain, "s", "My flat in Lisbon!", Some(false)).await.context.unwrap();
    assert_eq!((off.recall, off.recalled.len()), (None, 0));
}

#[tokio::test]
async fn nobody_searches_unasked() {
    let store = Arc::new(FaultyStore::new(in_memory()));
    let brain = brain(store.clone(), Arc::new(ScriptedLlm::echo()));
    let context = say(&brain, "s", "hello").await.context.unwrap();
    assert_eq!(context.recall, None);
    assert_eq!(store.calls(Operation::Search), 0);
}

#[tokio::test]
async fn a_memory_that_cannot_be_searched_costs_no_answer() {
    let store = Arc::new(FaultyStore::new(in_memory()));
    store.break_down(Operation::Search, MemoryErrorKind::Unavailable);
    let brain = brain(store, Arc::new(ScriptedLlm::echo()));
    let end = ask(&brain, "s", "hello", Some(true)).await;
    assert_eq!(end.status, TurnState::Completed);
    assert_eq!(end.context.unwrap().recall, Some(RecallState::Failed));
}

#[tokio::test(start_paused = true)]
async fn a_slow_search_costs_a_moment() {
    let store = Arc::new(FaultyStore::new(in_memory()));
    let _gate = store.hold(Operation::Search, 1);
    let brain = brain(store, Arc::new(ScriptedLlm::echo()));
    let begun = tokio::time::Instant::now();
    let end = ask(&brain, "s", "hello", Some(true)).await;
    assert_eq!(end.context.unwrap().recall, Some(RecallState::Failed));
    assert!(begun.elapsed() < Duration::from_secs(1));
}

/// Chats, and never finishes an embedding.
#[derive(Debug)]
struct Slow(ScriptedLlm);

#[async_trait]
impl LlmGateway for Slow {
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, LlmError> {
        self.0.stream(request).await
    }

    async fn complete_text(&self, request: CompletionRequest) -> Result<ChatStream, LlmError> {
        self.0.complete_text(request).await
    }

    async fn embed(&self, _request: EmbedRequest) -> Result<Embeddings, LlmError> {
        future::pending().await
    }

    async fn models(&self) -> Result<ModelList, LlmError> {
        self.0.models().await
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.0.capabilities(model)
    }

    fn tokens(&self, model: &str) -> Arc<dyn TokenCounter> {
        self.0.tokens(model)
    }
}

#[tokio::test(start_paused = true)]
async fn the_question_is_searched_by_its_meaning_if_that_is_there_in_time() {
    let store = in_memory();
    let embedding_model = Some("scripted".to_owned());
    let config = BrainConfig { embedding_model, ..BrainConfig::default() };
    let fast = Brain::new(ports(store.clone(), Arc::new(ScriptedLlm::echo())), config.clone());
    say(&fast, "home", "My flat in Lisbon has a balcony").await;
    let end = ask(&fast, "s", "Lisbon", Some(true)).await;
    assert_eq!(end.context.unwrap().recall, Some(RecallState::WordsAndMeaning));
    let slow = Brain::new(ports(store, Arc::new(Slow(ScriptedLlm::echo()))), config);
    let begun = tokio::time::Instant::now();
    let context = ask(&slow, "s", "Lisbon", None).await.context.unwrap();
    assert_eq!(context.recall, Some(RecallState::WordsOnly));
    assert!(!context.recalled.is_empty());
    assert!(begun.elapsed() < Duration::from_millis(400));
}
