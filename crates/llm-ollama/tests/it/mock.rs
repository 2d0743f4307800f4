//! The gateway against the model server of the test kit, whose picture of the wire is another one.

use std::time::Duration;

use brain_core::{
    chat::Message,
    llm::{
        ChatEvent, ChatRequest, CompletionRequest, EmbedRequest, GenerationOptions, LlmErrorKind,
        LlmGateway, LlmGatewayExt,
    },
};
use brain_testkit::model_server::{ModelServer, Reply, ServerConfig, Wire};
use futures_util::StreamExt;
use llm_ollama::{OllamaConfig, OllamaGateway};
use tokio::time::timeout;

use crate::{drain, question, text_of};

fn server() -> ModelServer {
    ModelServer::start(Vec::<Reply>::new())
}

fn gateway(server: &ModelServer, num_ctx: Option<u32>) -> OllamaGateway {
    let config = OllamaConfig::new(server.base_url(Wire::Ollama), "mock");
    let embedding_model = Some("mock-embed".to_owned());
    OllamaGateway::new(OllamaConfig { num_ctx, embedding_model, ..config }).unwrap()
}

mod suite {
    use brain_testkit::gateway::Subject;
    use llm_ollama::{OllamaConfig, OllamaGateway};

    use super::{Wire, server};

    // It has any model that is pulled.
    brain_testkit::llm_gateway_suite!(async || {
        let server = server();
        let config = OllamaConfig::new(server.base_url(Wire::Ollama), "mock");
        let embedding_model = Some("mock-embed".to_owned());
        let config = OllamaConfig { may_pull: false, embedding_model, ..config };
        Subject::from(OllamaGateway::new(config).unwrap()).keeping(server)
    });
}

#[tokio::test]
async fn a_pull_that_is_left_goes_on_where_it_was() {
    // A layer takes a second, so that the pull is left in the middle of it.
    let slow = ServerConfig { words_a_second: 10, ..ServerConfig::default() };
    let server = ModelServer::with(slow).unwrap();
    let gateway = gateway(&server, None);
    let options = GenerationOptions { max_tokens: Some(1), ..GenerationOptions::default() };
    let model = "other:1b".to_owned();
    let named = || ChatRequest { model: model.clone(), options: options.clone(), ..question("Hi") };
    let mut left = gateway.stream(named()).await.unwrap();
    assert!(matches!(left.next().await, Some(Ok(ChatEvent::Progress(_)))));
    drop(left);
    timeout(Duration::from_secs(20), server.dropped(1)).await.unwrap();
    let (events, failure) = drain(gateway.stream(named()).await.unwrap()).await;
    assert!(failure.is_none(), "{failure:?}");
    let total = 8 * 1024 * 1024 + 64 * 1024 + 4 * 1024;
    let whole = events
        .iter()
        .any(|it| matches!(it, ChatEvent::Progress(it) if it.done == total && it.total == total));
    assert!(whole, "{events:?}");
    assert!(events.iter().any(|it| matches!(it, ChatEvent::Text(_))));
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_refused_and_not_cut() {
    let server = server();
    let gateway = gateway(&server, Some(100));
    let long = ChatRequest {
        messages: vec![Message::user("and so on ".repeat(500)).into()],
        ..ChatRequest::default()
    };
    let error = gateway.stream(long).await.err().unwrap();
    assert_eq!(error.kind(), LlmErrorKind::ContextOverflow, "{error}");
}

#[tokio::test]
async fn answers_gaps_and_vectors_come() {
    let server = server();
    let gateway = gateway(&server, None);
    let reply = gateway.complete(question("Hello?")).await.unwrap();
    assert!(!reply.message.joined_text().is_empty());
    assert!(reply.usage.is_some_and(|it| !it.estimated && 0 < it.output_tokens), "{reply:?}");
    let gap = CompletionRequest { prefix: "a".into(), suffix: "c".into(), ..Default::default() };
    assert!(!text_of(gateway.complete_text(gap).await.unwrap()).await.is_empty());
    let texts = EmbedRequest { model: String::new(), inputs: vec!["a".into(), "b".into()] };
    assert_eq!(gateway.embed(texts).await.unwrap().vectors.len(), 2);
    let models = gateway.models().await.unwrap().models;
    let ids: Vec<&str> = models.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["mock", "mock-embed:latest"]);
    assert!(models[1].capabilities.embeddings && !models[1].capabilities.chat);
}
